"""The network that DeepCluster trains, and the backbone that others may take from it."""

from pathlib import Path

import torch
from torch import nn

from workflow.lib.networks.backbones import Backbone, build_backbone
from workflow.lib.networks.saved_models import load_model, read_record, save_model


class ClusterNetwork(nn.Module):
    """The backbone that DeepCluster trains; its features are the mean of its last feature map.

    checkpoint: what learning started from (lib/networks/checkpoints.py)
    """

    def __init__(self, backbone: Backbone, *, tile_px: int, mpp: float, checkpoint: str) -> None:
        super().__init__()
        self.backbone, self.dim = backbone, backbone.channels[-1]
        self.tile_px, self.mpp, self.checkpoint = tile_px, mpp, checkpoint

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.embed(tiles)

    def embed(self, tiles: torch.Tensor) -> torch.Tensor:
        """Features (B, dim) of tiles (B, 3, t, t), RGB float in 0..1."""
        return self.backbone(tiles).mean(dim=(2, 3))

    def layers(self, tiles: torch.Tensor) -> dict[str, torch.Tensor]:
        """The backbone's feature maps (B, C, h, w) by name, shallow to deep."""
        maps = zip(self.backbone.strides, self.backbone.pyramid(tiles), strict=True)
        return {f"layer{n} (stride {stride})": found for n, (stride, found) in enumerate(maps, 1)}

    def first_filters(self) -> torch.Tensor:
        """Weights (F, 3, k, k) of the first convolution, on the channels that it sees."""
        modules = self.backbone.trunk.modules()
        return next(m for m in modules if isinstance(m, nn.Conv2d)).weight.detach()

    def untrained(self, seed: int) -> "ClusterNetwork":
        """The same architecture with the random weights of `seed`, in evaluation."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = Backbone.rebuild(self.backbone.record())
        return self._like(fresh)

    def start(self, weights: Path | None) -> "ClusterNetwork | None":
        """The network that learning started from, in evaluation; None where it was random.

        weights: the folder of checkpoints. Raises what `build_backbone` raises.
        """
        if self.checkpoint == "random":
            return None
        name, channels = self.backbone.name, self.backbone.sees
        return self._like(
            build_backbone(
                name, checkpoint=self.checkpoint, weights=weights, seed=0, channels=channels
            )
        )

    def _like(self, backbone: Backbone) -> "ClusterNetwork":
        made = ClusterNetwork(
            backbone, tile_px=self.tile_px, mpp=self.mpp, checkpoint=self.checkpoint
        )
        return made.to(next(self.parameters()).device).eval()

    def save(self, folder: Path, facts: dict) -> dict:
        """Write model.safetensors, and model.json with what rebuilds it and `facts`; the latter."""
        made = {"checkpoint": self.checkpoint, "tile_px": self.tile_px, "mpp": self.mpp}
        kind = {"kind": "deepcluster"}
        return save_model(self, folder, {**facts, **kind, **self.backbone.record(), **made})

    @classmethod
    def load(cls, folder: Path) -> "ClusterNetwork":
        """What `save` wrote into `folder`, in evaluation (saved_models.load_model)."""

        def build(record: dict) -> "ClusterNetwork":
            made = {key: record[key] for key in ("tile_px", "mpp", "checkpoint")}
            return cls(Backbone.rebuild(record), **made)

        return load_model(folder, build)


def load_backbone(folder: Path) -> Backbone:
    """The backbone that DeepCluster trained in the unit `folder`, in evaluation.

    Raises ValueError when the unit is another method's, or damaged.
    """
    if (kind := network_kind(folder)) != "deepcluster":
        raise ValueError(
            f"{folder} holds a {kind!r}, not a backbone that DeepCluster trained; set "
            "cluster.method to deepcluster, or start from another checkpoint"
        )
    return ClusterNetwork.load(folder).backbone


def network_kind(folder: Path) -> str | None:
    """What model.json calls the network of a unit of clusters; None where it does not say.

    Raises FileNotFoundError when the clusters were made without one.
    """
    if not (folder / "model.json").is_file():
        raise FileNotFoundError(
            f"{folder} holds no network (model.json): its clusters are of an encoder's features; "
            "set cluster.method to deepcluster or dcec and run again"
        )
    return read_record(folder).get("kind")
