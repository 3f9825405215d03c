"""The methods of the refine stage and of clustering, and how they are called for people."""

METHODS = {
    "none": "CAM, unrefined",
    "morphology": "CAM, cleaned",
    "crf": "CAM, CRF",
    "negev": "NEGEV",
    "rpnet": "RPNet",
    "points": "Points",
}
UNLEARNT = ("none", "morphology", "crf")  # every other method has a rule that trains it
CLUSTERINGS = {"kmeans": "k-means", "deepcluster": "DeepCluster", "dcec": "DCEC"}
PERMUTED = ", permuted labels"  # behind the method of every number that means nothing
