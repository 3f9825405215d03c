"""A linear classifier of pixels on the frozen feature maps of a tile classifier, learnt from seeds.

The idea of PixelCAM (Belharbi et al., MIDL 2025): evidence marks some pixels, and a linear layer on
features learns what marks have in common. There it is trained jointly with the tile classifier,
step by step, on its last map; here the classifier stays as it is and all maps are looked at, so
that the fit is convex: one pass over the tiles, one solution, no epochs and no learning rate.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from workflow.lib.evidence.pseudo_masks import BACKGROUND, FOREGROUND
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.saved_models import check_start, load_model, save_model
from workflow.lib.refine.seed_bags import SeedBag
from workflow.lib.tiles.inference import read_ahead, to_input


class PixelClassifier(nn.Module):
    """Foreground probability of every pixel of a tile, linear in features of its location.

    classifier: trained; frozen here. stride: px of the tile between locations; finer feature maps
        are averaged, coarser ones interpolated.
    Only `learnt`, one weight per channel of all maps and a bias, is ever fitted or saved.
    """

    def __init__(self, classifier: Classifier, stride: int) -> None:
        super().__init__()
        self.classifier, self.stride = classifier.requires_grad_(False).eval(), stride
        self.learnt = nn.Conv2d(sum(classifier.backbone.channels), 1, kernel_size=1)

    @torch.no_grad()
    def describe(self, tiles: torch.Tensor) -> torch.Tensor:
        """Features (B, D, t / stride, t / stride) of all maps, of RGB tiles (B, 3, t, t)."""
        size = [max(1, side // self.stride) for side in tiles.shape[-2:]]
        levels = [
            functional.interpolate(level, size, mode="bilinear", antialias=True)
            for level in self.classifier.pyramid(tiles)
        ]
        return torch.cat(levels, dim=1)

    def probability(self, tiles: torch.Tensor) -> torch.Tensor:
        """Foreground probability (B, t, t) of RGB tiles (B, 3, t, t) float in 0..1."""
        logits = self.learnt(self.describe(tiles)).float()
        size = tiles.shape[-2:]
        logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
        return torch.sigmoid(logits[:, 0])

    def save(self, folder: Path, facts: dict, *, trained_on: str) -> None:
        """Write model.safetensors (what is learnt), and model.json with `facts`.

        trained_on: what identifies the classifier, which has a file of its own.
        """
        made = {"stride": self.stride, "classifier": trained_on}
        save_model(self.learnt, folder, {**facts, **made})


def load_pixel_classifier(
    folder: Path, classifier: Classifier, *, trained_on: str
) -> PixelClassifier:
    """What `save` wrote into `folder`, on its classifier; ValueError as load_decoder has it."""

    def rebuild(record: dict) -> PixelClassifier:
        check_start(folder, record, trained_on)
        return PixelClassifier(classifier, record["stride"])

    return load_model(folder, rebuild, saved=lambda model: model.learnt)


def draw_seeds(
    maps: torch.Tensor,
    negative: torch.Tensor,
    count: int,
    generator: torch.Generator,
    *,
    foreground: float,
    background: float,
) -> torch.Tensor:
    """Up to `count` marked locations of each tile at random, (n, 4) int64: tile, y, x, side.

    maps: (B, h, w) evidence in 0..1. At or above `foreground` a location is marked 1, below
    `background` 0. Tiles of a `negative` slide (B,) are 0 throughout.
    """
    side = torch.full(maps.shape, -1)
    side[maps < background] = BACKGROUND
    side[maps >= foreground] = FOREGROUND
    side[negative] = BACKGROUND
    lots = torch.rand(maps.shape, generator=generator).masked_fill(side < 0, -1.0).flatten(1)
    best, places = lots.topk(min(count, lots.shape[1]), dim=1)
    tile, rank = torch.nonzero(best >= 0, as_tuple=True)
    place = places[tile, rank]
    width = maps.shape[2]
    found = [tile, place // width, place % width, side.flatten(1)[tile, place]]
    return torch.stack(found, dim=1)


def gather(
    model: PixelClassifier,
    bag: SeedBag,
    tiles: Sequence[int],
    *,
    locations_per_tile: int,
    foreground: float,
    background: float,
    batch: int,
    seed: int,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, D) float32 and sides (n,) of the seeds drawn from `tiles` of a bag."""
    generator = torch.Generator().manual_seed(seed)
    features, sides = [], []
    spans = list(torch.as_tensor(tiles).split(batch))
    for indices, pixels in read_ahead(bag.tiles.read, spans):
        described = model.describe(to_input(pixels, device))
        size = described.shape[-2:]
        maps = functional.interpolate(bag.maps(indices)[:, None].float(), size, mode="area")[:, 0]
        cuts = {"foreground": foreground, "background": background}
        seeds = draw_seeds(maps, bag.negative[indices], locations_per_tile, generator, **cuts)
        tile, y, x, side = seeds.T
        features.append(described[tile, :, y, x].float().cpu().numpy())
        sides.append(side.numpy())
    return np.concatenate(features), np.concatenate(sides)


def fit_linear(
    model: PixelClassifier, features: np.ndarray, sides: np.ndarray, *, penalty: float
) -> None:
    """Set `learnt` to the logistic regression of `sides` (n,) 0 or 1 on `features` (n, D).

    Features are standardised, in place: they are large. penalty: the L2 of their weights. Both
    sides count alike, however many seeds they have, and need one at least.
    """
    # Here, because every job that refines masks imports this module.
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler(copy=False).fit(features)
    fitted = LogisticRegression(C=1 / penalty, max_iter=1000, class_weight="balanced").fit(
        scaler.transform(features), sides
    )
    weights = fitted.coef_[0] / scaler.scale_
    bias = fitted.intercept_[0] - weights @ scaler.mean_
    with torch.no_grad():
        model.learnt.weight.copy_(torch.from_numpy(weights)[None, :, None, None])
        model.learnt.bias.copy_(torch.tensor([bias]))
