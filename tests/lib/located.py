"""A small classifier that is not trained, and evidence of alike locations for it."""

import numpy as np
import torch

from workflow.lib.clusters.clustering import fit
from workflow.lib.evidence.consistency import Evidence, sample
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.networks.classifiers import Classifier

SIDE = 64
TILES = torch.rand(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))


def make_classifier(pooling="gap"):
    """Strides of 2, 4, 8 and 16, with 64, 128, 256 and 512 channels."""
    torch.manual_seed(0)
    backbone = build_backbone("squeezenet1_1", checkpoint="random", weights=None, seed=0)
    made = {"tile_px": SIDE, "mpp": 1.0, "pooling": pooling}
    return Classifier(backbone, ["normal", "tumour"], **made).eval()


def share_evidence(model):
    """Evidence of 5 clusters of locations at a stride of 8."""
    with torch.no_grad():
        rows = sample([model.pyramid(TILES)[2]], 20, seed=0)
    found, _ = fit(rows, clusters=5, pca=4, iterations=5, restarts=1, seed=0)
    evidence = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    return Evidence(found, evidence, 8)
