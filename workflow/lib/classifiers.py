"""A tile classifier whose evidence can be seen: backbone, global average pooling, linear head.

Because pooling and head are linear, the head applied at every location of the last feature map
gives the class activation map (Zhou et al., CVPR 2016), whose mean over locations is the logit.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from workflow.lib.backbones import Backbone
from workflow.lib.saved_models import load_model, save_model


class Classifier(nn.Module):
    """Class scores of RGB tiles (B, 3, t, t), float in 0..1.

    classes: names in the order of the scores
    tile_px, mpp: of the tiles that it is trained on
    """

    def __init__(
        self, backbone: Backbone, classes: Sequence[str], *, tile_px: int, mpp: float
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.channels[-1], len(classes))
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

    def logits_of(self, features: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores (B, C) of the backbone's last feature map (B, D, h, w)."""
        return self.head(features.mean(dim=(2, 3)))

    def cam(self, tiles: torch.Tensor) -> torch.Tensor:
        """Evidence (B, C, h, w): the head at every location, bias included, not normalised."""
        return self.cam_of(self.backbone(tiles))

    def cam_of(self, features: torch.Tensor) -> torch.Tensor:
        """The same of the backbone's last feature map (B, D, h, w)."""
        kernel = self.head.weight[:, :, None, None]
        return functional.conv2d(features, kernel, self.head.bias)

    def pyramid(self, tiles: torch.Tensor) -> list[torch.Tensor]:
        """The backbone's feature maps (B, C, h, w), shallow to deep."""
        return self.backbone.pyramid(tiles)

    def save(self, folder: Path, facts: dict) -> None:
        """Write model.safetensors, and model.json with what rebuilds it and `facts`."""
        made_for = {"classes": self.classes, "tile_px": self.tile_px, "mpp": self.mpp}
        save_model(self, folder, {**facts, **self.backbone.record(), **made_for})

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """What `save` wrote into `folder`, in evaluation (saved_models.load_model)."""

        def build(record: dict) -> "Classifier":
            made_for = {key: record[key] for key in ("tile_px", "mpp")}
            return cls(Backbone.rebuild(record), record["classes"], **made_for)

        return load_model(folder, build)
