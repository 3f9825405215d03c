"""The methods of the refine stage and of clustering, and how they are called for people."""

from workflow.lib.evidence.cam_names import CAMS

METHODS = {
    "none": "CAM, unrefined",
    **CAMS,
    "morphology": "CAM, cleaned",
    "crf": "CAM, CRF",
    "pixelcam": "PixelCAM",
    "negev": "NEGEV",
    "irn": "IRNet",
    "rpnet": "RPNet",
    "points": "Points",
    "svm": "SVM (pixel-supervised)",
    "unet": "U-Net (pixel-supervised)",
}
UNLEARNT = ("none", *CAMS, "morphology", "crf")  # every other method has a rule that trains it
SPREADING = (*UNLEARNT, "irn")  # what these give is on the scale of the evidence that they spread
SEEDED = (
    "pixelcam",
    "negev",
    "rpnet",
)  # decoders that learn from evidence, and may be mixed with it
UNRELATED = ("svm", "glands")  # to the classifier: nothing of what that has learnt is in them
SUPERVISED = ("svm", "unet")  # learn from pixel masks: others are held against them, no results
# What pools the tiles of a slide as a bag -> method of its numbers, and how people are told.
BAGS = {"attention": ("abmil", "by attention"), "top_k": ("top_k", "by its top tiles")}
CLUSTERINGS = {"kmeans": "k-means", "deepcluster": "DeepCluster", "dcec": "DCEC"}
PERMUTED = ", permuted labels"  # behind the method of every number that means nothing
UNSTATED = "not stated"  # the licence of weights, where nobody says one
