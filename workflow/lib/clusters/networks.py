"""Networks that a clustering was learnt with: what every stage that looks at one may ask of it."""

from pathlib import Path
from typing import Protocol

import torch

from workflow.lib.clusters.autoencoders import Autoencoder
from workflow.lib.clusters.cluster_networks import ClusterNetwork, network_kind


class Network(Protocol):
    """A module that gives features of tiles (B, 3, t, t), RGB float in 0..1.

    dim: of the features; tile_px, mpp: of the tiles that it was trained on
    """

    dim: int
    tile_px: int
    mpp: float

    def embed(self, tiles: torch.Tensor) -> torch.Tensor:
        """Features (B, dim)."""

    def layers(self, tiles: torch.Tensor) -> dict[str, torch.Tensor]:
        """Feature maps (B, C, h, w) by name, shallow to deep; the last may be (B, dim)."""

    def first_filters(self) -> torch.Tensor:
        """Weights (F, 3, k, k) of the first convolution."""

    def untrained(self, seed: int) -> "Network":
        """The same architecture with fresh weights, in evaluation."""

    def start(self, weights: Path | None) -> "Network | None":
        """The network that learning started from; None where its weights were random."""


def load_network(folder: Path) -> Network:
    """The network of a unit of clusters, in evaluation.

    Raises FileNotFoundError when the clusters were made without one, and ValueError when its file
    is damaged.
    """
    kind = network_kind(folder)
    if kind == "deepcluster":
        return ClusterNetwork.load(folder)
    if kind == "dcec":
        return Autoencoder.load(folder)
    raise ValueError(
        f"{folder / 'model.json'} describes a {kind!r}, which is no network of clusters; expected "
        "deepcluster or dcec"
    )
