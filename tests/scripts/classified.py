"""A study of two textures that a classifier learns in a second, and the call that trains it."""

from tests.scripts.tile_study import CLASSES, shard
from workflow.scripts.train_classifier import train_classifier

SETTINGS = {
    "backbone": "squeezenet1_1",
    "checkpoint": "random",
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
STUDY = {
    "a": ("plain", "train", 12),
    "b": ("striped", "train", 9),
    "c": ("plain", "val", 5),
    "d": ("striped", "val", 6),
    "e": ("plain", "test", 5),
    "f": ("striped", "test", 4),
    "empty": ("plain", "train", 0),
    "nothing": ("plain", "test", 0),
    "lost": ("striped", "train", -1),
}


def learn(root, slides, *, network=None, assignments=(), **changed):
    """Train in the study `root`; the folder of the classifier."""
    settings = SETTINGS | changed
    index = root / "classifiers" / "fold0.json"
    train_classifier(
        [root / "tiles" / "all.json"],
        root / "splits.tsv",
        network,
        list(assignments),
        index,
        shard=shard("train_classifier", slides, **settings),
        fold=0,
        **settings,
        weights=None,
        device="cpu",
        threads=1,
        work=index.with_name(".fold0.work"),
    )
    return index.with_suffix("")
