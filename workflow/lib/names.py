"""The methods of the refine stage and of clustering, and how they are called for people."""

METHODS = {
    "none": "CAM, unrefined",
    "morphology": "CAM, cleaned",
    "crf": "CAM, CRF",
    "negev": "NEGEV",
    "svm": "SVM (pixel-supervised)",
    "unet": "U-Net (pixel-supervised)",
}
UNLEARNT = ("none", "morphology", "crf")  # every other method has a rule that trains it
SUPERVISED = (
    "svm",
    "unet",
)  # learn from pixel masks: what others are held against, never the result
CLUSTERINGS = {"kmeans": "k-means", "deepcluster": "DeepCluster", "dcec": "DCEC"}
