"""Evidence that images share: locations that look alike answer for each other.

A class activation map is made from one image, and misses there what another image shows plainly.
Locations of the training images are clustered by a feature map of the classifier, and the evidence
of each class is averaged over a cluster, across images. What is found in many images then speaks
where it was missed in one, and what stood out in one image alone is damped. The idea is that of
the prototypes of RPNet (Liu et al., arXiv 2108.07413) without their training.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from workflow.lib.clusters.clusters import Clusters, assign
from workflow.lib.networks.classifiers import Classifier


class Evidence:
    """What the training images say of each cluster of locations.

    clusters: of D-dimensional locations
    evidence: (K, C) float32, mean cam of every class in every cluster
    stride: tile pixels per location, at most (choose_level)
    """

    def __init__(self, clusters: Clusters, evidence: np.ndarray, stride: int) -> None:
        self.clusters, self.stride = clusters, stride
        self.evidence = np.asarray(evidence, np.float32)

    def save(self, folder: Path) -> None:
        """Write evidence.npz into `folder`."""
        facts = {"evidence": self.evidence, "stride": self.stride}
        np.savez(folder / "evidence.npz", **facts, **vars(self.clusters))

    @classmethod
    def load(cls, folder: Path) -> "Evidence":
        """What `save` wrote into `folder`."""
        with np.load(folder / "evidence.npz") as arrays:
            found = dict(arrays)
        evidence, stride = found.pop("evidence"), int(found.pop("stride"))
        return cls(Clusters(**found), evidence, stride)

    def of(self, maps: torch.Tensor) -> torch.Tensor:
        """The evidence (B, C, h, w) float32 of the clusters that locations (B, D, h, w) are in.

        A location that is not finite is in no cluster: its evidence is NaN.
        """
        rows = locations(maps)
        known = np.isfinite(rows).all(axis=1)
        found = np.full((len(rows), self.evidence.shape[1]), np.nan, np.float32)
        found[known] = self.evidence[assign(rows[known], self.clusters)[0]]
        found = found.reshape(len(maps), *maps.shape[2:], -1)
        return torch.from_numpy(found).permute(0, 3, 1, 2)

    def correct(self, cams: torch.Tensor, maps: torch.Tensor, weight: float) -> torch.Tensor:
        """Cams (B, C, h', w') mixed with the evidence of their clusters, at the maps' (h, w).

        weight: share of the shared evidence, 0 .. 1; 0 gives the cams, bilinear at (h, w).
        """
        return (1 - weight) * _resize(cams, maps) + weight * self.of(maps)


class Pool:
    """Adds up evidence per cluster of locations, every tile with its weight."""

    def __init__(self, clusters: Clusters, classes: int) -> None:
        self.clusters = clusters
        k = len(clusters.centroids)
        self.total, self.weight = np.zeros((k, classes)), np.zeros(k)

    def add(self, cams: torch.Tensor, maps: torch.Tensor, weights: np.ndarray) -> None:
        """Count the cams (B, C, h', w') of tiles whose locations are (B, D, h, w).

        weights: (B,) of each tile; its locations share it.
        """
        ids, _ = assign(locations(maps), self.clusters)
        count = maps.shape[2] * maps.shape[3]
        each = np.repeat(weights / count, count)
        self.weight += np.bincount(ids, each, len(self.weight))
        for index, values in enumerate(locations(_resize(cams, maps)).T):
            self.total[:, index] += np.bincount(ids, each * values, len(self.weight))

    def evidence(self) -> np.ndarray:
        """The mean (K, C) of every cluster; the overall mean where no location fell."""
        overall = self.total.sum(0) / max(self.weight.sum(), np.finfo(float).tiny)
        held = self.weight[:, None] > 0
        return np.where(held, self.total / np.where(held, self.weight[:, None], 1), overall)


def look(
    classifier: Classifier, tiles: torch.Tensor, level: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cams (B, C, h', w') and one map of the pyramid (B, D, h, w), in one pass."""
    pyramid = classifier.pyramid(tiles)
    return classifier.cam_of(pyramid[-1]), pyramid[level]


def _resize(cams: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Cams (B, C, h', w') at the locations of maps (B, D, h, w): bilinear, float32, on the CPU."""
    size = maps.shape[2:]
    return functional.interpolate(cams.float().cpu(), size, mode="bilinear", align_corners=False)


def choose_level(classifier: Classifier, stride: int) -> int:
    """The deepest map of the pyramid with at most `stride` tile pixels per location.

    Raises ValueError, naming the finest, when all are coarser.
    """
    strides = classifier.backbone.strides
    fine = [index for index, found in enumerate(strides) if found <= stride]
    if not fine:
        raise ValueError(
            f"pool_evidence.stride is {stride}, but the finest map of {classifier.backbone.name} "
            f"has a stride of {strides[0]}; use that or more"
        )
    return fine[-1]


def locations(maps: torch.Tensor) -> np.ndarray:
    """Rows (B h w, D) float32 of feature maps (B, D, h, w), location by location."""
    return maps.float().cpu().permute(0, 2, 3, 1).reshape(-1, maps.shape[1]).numpy()


def sample(maps: Iterable[torch.Tensor], each: int, *, seed: int) -> np.ndarray:
    """`each` locations of every tile, (N each, D) float32, drawn without replacement."""
    rng, drawn = np.random.default_rng(seed), []
    for block in maps:
        rows = locations(block).reshape(len(block), -1, block.shape[1])
        number = min(each, rows.shape[1])
        drawn += [tile[rng.choice(len(tile), number, replace=False)] for tile in rows]
    return np.concatenate(drawn)
