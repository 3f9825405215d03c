"""A study of two textures that a classifier learns in a second, and the call that trains it."""

from tests.scripts.tile_study import CLASSES, STUDY, train_fold
from workflow.scripts.train_classifier import train_classifier

SETTINGS = {
    "backbone": "squeezenet1_1",
    "stride": None,
    "checkpoint": "random",
    "pooling": "gap",
    "heads": {"lse": {"sharpness": 10}, "wildcat": {"maps": 2, "share": 0.2, "alpha": 0.7}},
    "choose_by": "labels",
    "epochs": 6,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "backbone_learning_rate_factor": 0.2,
    "precision": "fp32",
    "weight_decay": 1e-4,
    "patience": 9,
    "balance": "classes",
    "label_smoothing": 0.0,
    "augment": {"flips": True, "rotations": True, "crop": 1, "colour_jitter": 0.1},
    "seed": 0,
    "classes": CLASSES,
}
SLIDES = STUDY | {"nothing": ("plain", "test", 0)}


def learn(root, slides, *, network=None, assignments=(), tile_labels=(), **changed):
    """Train in the study `root`; the folder of the classifier."""
    return train_fold(
        train_classifier,
        root,
        slides,
        "classifiers",
        network,
        list(assignments),
        list(tile_labels),
        settings=SETTINGS | changed,
        weights=None,
    )
