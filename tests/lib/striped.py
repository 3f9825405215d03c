"""A lesson that is quick to learn: pink noise, plain or striped, and a small network for it."""

import math

import numpy as np
import torch

from tests.lib.held import HeldTiles
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.tiles.bags import TileBag

SIDE = 32
SETTINGS = {
    "epochs": 4,
    "batch_size": 8,
    "learning_rate": 5e-3,
    "backbone_learning_rate_factor": 0.2,
    "precision": "fp32",
    "weight_decay": 1e-4,
    "label_smoothing": 0.0,
    "patience": 9,
    "balance": "classes",
    "augmentation": {"flips": True, "rotations": True, "crop": 1, "colour_jitter": 0.1},
    "seed": 0,
    "device": torch.device("cpu"),
    "key": "k",
}


class Store(HeldTiles):
    """Pink noise, striped when `label` is 1."""

    def __init__(self, label, count, seed):
        rng = np.random.default_rng(seed)
        tiles = rng.integers(150, 220, (count, SIDE, SIDE, 3), dtype=np.uint8)
        tiles[:, ::4] -= 100 * np.uint8(label)
        super().__init__(tiles)


class KilledBag(TileBag):
    """A bag at whose read after `reads` the process is killed."""

    reads = math.inf

    def read(self, indices):
        self.reads -= 1
        if self.reads < 0:
            raise KeyboardInterrupt
        return super().read(indices)


def bags(counts=(10, 14, 6), reads=math.inf, clusters=None):
    stores = [Store(i % 2, count, i) for i, count in enumerate(counts)]
    names, labels = [f"t{i}" for i in range(len(counts))], [i % 2 for i in range(len(counts))]
    learn = KilledBag(names, stores, labels, clusters)
    learn.reads = reads
    return learn, TileBag(["v0", "v1"], [Store(0, 4, 90), Store(1, 6, 91)], [0, 1])


HEADS = {"lse": {"sharpness": 10}, "wildcat": {"maps": 2, "share": 0.3, "alpha": 0.5}}


def classifier(name="squeezenet1_1", pooling="gap"):
    torch.manual_seed(0)
    backbone = build_backbone(name, checkpoint="random", weights=None, seed=0)
    head = {"pooling": pooling, "settings": HEADS.get(pooling)}
    return Classifier(backbone, ["plain", "striped"], tile_px=SIDE, mpp=1.0, **head)
