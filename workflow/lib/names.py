"""The methods of the refine stage and of clustering, and how they are called for people."""

CAMS = {
    "cam": "CAM",
    "gradcam": "Grad-CAM",
    "gradcam_pp": "Grad-CAM++",
    "smooth_gradcam_pp": "Smooth Grad-CAM++",
    "xgradcam": "XGrad-CAM",
    "layercam": "LayerCAM",
    "scorecam": "Score-CAM",
    "grabcut": "Saliency and GrabCut",
}
METHODS = {
    "none": "CAM, unrefined",
    **CAMS,
    "morphology": "CAM, cleaned",
    "crf": "CAM, CRF",
    "negev": "NEGEV",
    "rpnet": "RPNet",
    "points": "Points",
}
UNLEARNT = ("none", *CAMS, "morphology", "crf")  # every other method has a rule that trains it
CLUSTERINGS = {"kmeans": "k-means", "deepcluster": "DeepCluster", "dcec": "DCEC"}
PERMUTED = ", permuted labels"  # behind the method of every number that means nothing
