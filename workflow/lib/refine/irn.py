"""IRNet: where boundaries are, and where centres, learnt on the features of a frozen classifier.

Ahn, Cho, Kwak: Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations,
CVPR 2019. Written from the paper's description, for the feature maps of any backbone.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.saved_models import check_start, load_model, save_model

STRIDE = 4  # px of the tile per px of the map, as published
BOUNDARY = 32  # channels per feature map
WIDTHS = (64, 128, 256, 256, 256)  # channels per feature map for displacements, shallow to deep


class Boundary(nn.Module):
    """Logits (B, h, w) of boundaries from feature maps, each brought to the grid (h, w)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.each = nn.ModuleList(_project(width, BOUNDARY, groups=4) for width in channels)
        self.head = nn.Conv2d(BOUNDARY * len(channels), 1, kernel_size=1)

    def forward(self, maps: Sequence[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        seen = [_resize(look(part), grid) for look, part in zip(self.each, maps, strict=True)]
        return self.head(torch.cat(seen, dim=1))[:, 0]


class Displacement(nn.Module):
    """Displacement (B, 2, h, w), (y, x) in pixels of the grid (h, w), from feature maps.

    Maps coarser than the grid meet at half of it, then they meet the finer ones. `mean`: what is
    taken off, so that displacements have a mean of zero over the training tiles; the loss, of
    differences, leaves it open.
    """

    def __init__(self, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        widths = [WIDTHS[min(k, len(WIDTHS) - 1)] for k in range(len(channels))]
        sizes = zip(channels, widths, strict=True)
        self.each = nn.ModuleList(_project(*size) for size in sizes)
        self.coarse = [stride > STRIDE for stride in strides]
        below = sum(width for width, coarse in zip(widths, self.coarse, strict=True) if coarse)
        self.meet = _project(below, WIDTHS[-1])
        self.merge = _project(sum(widths) - below + WIDTHS[-1], WIDTHS[-1])
        self.head = nn.Conv2d(WIDTHS[-1], 2, kernel_size=1, bias=False)
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, maps: Sequence[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        half = (-(-grid[0] // 2), -(-grid[1] // 2))
        fine, coarse = [], []
        for look, part, below in zip(self.each, maps, self.coarse, strict=True):
            (coarse if below else fine).append(_resize(look(part), half if below else grid))
        fine.append(_resize(self.meet(torch.cat(coarse, dim=1)), grid))
        return self.head(self.merge(torch.cat(fine, dim=1))) - self.mean[:, None, None]


class IRNet(nn.Module):
    """Boundary logits (B, h, w) and displacements (B, 2, h, w) at stride 4 of RGB tiles.

    classifier: trained; frozen here. Only `learnt` (both branches) is ever trained or saved.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier.requires_grad_(False).eval()
        channels, strides = classifier.backbone.channels, classifier.backbone.strides
        self.learnt = nn.ModuleDict(
            {"boundary": Boundary(channels), "displacement": Displacement(channels, strides)}
        )

    def train(self, mode: bool = True) -> "IRNet":
        """Switch the branches' mode; the classifier stays in evaluation whatever the mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def forward(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (B, h, w) and displacement (B, 2, h, w) of tiles (B, 3, H, W) float in 0..1."""
        with torch.no_grad():
            maps = self.classifier.pyramid(tiles)
        grid = (-(-tiles.shape[-2] // STRIDE), -(-tiles.shape[-1] // STRIDE))
        branches = self.learnt["boundary"], self.learnt["displacement"]
        boundary, displacement = (branch(maps, grid) for branch in branches)
        return boundary, displacement

    def save(self, folder: Path, facts: dict, *, trained_on: str) -> None:
        """Write model.safetensors (what is learnt), and model.json with `facts`.

        trained_on: what identifies the classifier, which has a file of its own.
        """
        save_model(self.learnt, folder, {**facts, "classifier": trained_on})


def load_irn(folder: Path, classifier: Classifier, *, trained_on: str) -> IRNet:
    """The network that `save` wrote into `folder`, on its classifier, in evaluation.

    Raises ValueError, naming the file, when it is damaged or was trained on another classifier.
    """

    def build(record: dict) -> IRNet:
        check_start(folder, record, trained_on)
        return IRNet(classifier)

    return load_model(folder, build, saved=lambda model: model.learnt)


def _project(inside: int, outside: int, groups: int | None = None) -> nn.Sequential:
    """A 1 x 1 convolution with group norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel_size=1, bias=False),
        nn.GroupNorm(groups or min(16, outside // 8), outside),
        nn.ReLU(),
    )


def _resize(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(maps.shape[-2:]) == size:
        return maps
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)
