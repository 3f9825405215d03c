"""How methods are called in pictures and on the page."""

METHODS = {"none": "CAM, unrefined", "negev": "NEGEV"}
CLUSTERINGS = {"kmeans": "k-means", "deepcluster": "DeepCluster", "dcec": "DCEC"}
PERMUTED = ", permuted labels"  # behind the method of every number that means nothing
