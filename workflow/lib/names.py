"""The methods of the refine stage and of clustering, and how they are called for people."""

METHODS = {
    "none": "CAM, unrefined",
    "morphology": "CAM, cleaned",
    "crf": "CAM, CRF",
    "negev": "NEGEV",
    "irn": "IRNet",
}
UNLEARNT = ("none", "morphology", "crf")  # every other method has a rule that trains it
SPREADING = (*UNLEARNT, "irn")  # what these give is on the scale of the evidence that they spread
CLUSTERINGS = {"kmeans": "k-means", "deepcluster": "DeepCluster", "dcec": "DCEC"}
