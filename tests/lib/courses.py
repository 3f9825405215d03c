"""A small course of DeepCluster: two textures, a network that is quick to train."""

import numpy as np
import torch

from tests.lib.striped import SIDE, Store
from workflow.lib.clusters.cluster_networks import ClusterNetwork
from workflow.lib.clusters.deepcluster import Course, learn
from workflow.lib.clusters.monitors import watch
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.tiles.bags import TileBag

PLAIN = {"flips": False, "rotations": False, "crop": 1, "colour_jitter": 0}
AUGMENTED = {"flips": True, "rotations": True, "crop": 1, "colour_jitter": 0.2}
NEVER = {"rounds": 99, "nmi_change": 0, "nmi": 1, "churn": 0, "patience": 99}


def bag(counts=(9, 11, 4, 5, 1)):
    """Slides of one texture each, in turns; the last are for validation."""
    stores = [Store(i % 2, count, i) for i, count in enumerate(counts)]
    return TileBag(
        [f"s{i}" for i in range(len(counts))], stores, [i % 2 for i in range(len(counts))]
    )


def network(name="shufflenet_v2_x0_5"):
    backbone = build_backbone(name, checkpoint="random", weights=None, seed=0)
    return ClusterNetwork(backbone, tile_px=SIDE, mpp=1.0, checkpoint="random")


def course(watched=True, made=None, **changes):
    made = made or bag()
    rows = np.flatnonzero(made.slide.numpy() < 2)
    held_out = np.flatnonzero(made.slide.numpy() >= 2)
    settings = {
        "network": network(),
        "bag": made,
        "rows": rows,
        "watched": watch(made, rows, held_out, classes=2, seed=0) if watched else None,
        "count": 4,
        "pca": 6,
        "iterations": 5,
        "passes": 1,
        "batch_size": 8,
        "learning_rate": 0.05,
        "weight_decay": 1e-4,
        "precision": "fp32",
        "augmentation": AUGMENTED,
        "seed": 0,
        "device": torch.device("cpu"),
        "batch": 7,
    }
    return Course(**(settings | changes))


def run(made, work, rounds=3, stop=NEVER, key="k"):
    return learn(made, rounds=rounds, stop=stop, work=work, key=key)


def weights(made):
    return {name: value.clone() for name, value in made.network.state_dict().items()}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
