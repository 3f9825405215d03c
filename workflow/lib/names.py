"""How methods are called in pictures and on the page."""

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
METHODS = {"none": "CAM, unrefined"} | CAMS | {"negev": "NEGEV"}
CLUSTERINGS = {"kmeans": "k-means", "deepcluster": "DeepCluster", "dcec": "DCEC"}
