"""A tile classifier whose evidence can be seen: a backbone, and a head on its last feature map.

The head gives evidence at every location, the class activation map, and pools it into the logits
(lib/networks/heads.py).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.heads import build_head
from workflow.lib.networks.saved_models import load_model, save_model


class Classifier(nn.Module):
    """Class scores of RGB tiles (B, 3, t, t), float in 0..1.

    classes: names in the order of the scores
    tile_px, mpp: of the tiles that it is trained on
    pooling, settings: of its head (heads.build_head)
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: Sequence[str],
        *,
        tile_px: int,
        mpp: float,
        pooling: str = "gap",
        settings: Mapping | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.pooling, self.settings = backbone, pooling, dict(settings or {})
        self.head = build_head(pooling, backbone.channels[-1], len(classes), self.settings)
        self.classes, self.tile_px, self.mpp = list(classes), tile_px, mpp

    def train(self, mode: bool = True) -> "Classifier":
        """Switch the mode; a backbone of which nothing is trained stays in evaluation."""
        super().train(mode)
        self.backbone.train(mode and any(p.requires_grad for p in self.backbone.parameters()))
        return self

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.logits(tiles)

    def logits(self, tiles: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores (B, C)."""
        return self.logits_of(self.backbone(tiles))

    def cam(self, tiles: torch.Tensor) -> torch.Tensor:
        """Evidence (B, C, h, w) at every location, bias included, not normalised."""
        return self.cam_of(self.backbone(tiles))

    def logits_of(self, features: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores (B, C) of the backbone's last feature map (B, D, h, w)."""
        return self.head.logits(features)

    def cam_of(self, features: torch.Tensor) -> torch.Tensor:
        """Evidence (B, C, h, w) in the backbone's last feature map (B, D, h, w)."""
        return self.head.evidence(features)

    def pyramid(self, tiles: torch.Tensor) -> list[torch.Tensor]:
        """The backbone's feature maps (B, C, h, w), shallow to deep."""
        return self.backbone.pyramid(tiles)

    def save(self, folder: Path, facts: dict) -> None:
        """Write model.safetensors, and model.json with what rebuilds it and `facts`."""
        made_for = {"classes": self.classes, "tile_px": self.tile_px, "mpp": self.mpp}
        head = {"pooling": self.pooling, "head": self.settings}
        save_model(self, folder, {**facts, **self.backbone.record(), **head, **made_for})

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """What `save` wrote into `folder`, in evaluation (saved_models.load_model)."""

        def build(record: dict) -> "Classifier":
            made_for = {key: record[key] for key in ("tile_px", "mpp")}
            # Not recorded before there was a choice.
            head = {"pooling": record.get("pooling", "gap"), "settings": record.get("head", {})}
            return cls(Backbone.rebuild(record), record["classes"], **head, **made_for)

        return load_model(folder, build)
