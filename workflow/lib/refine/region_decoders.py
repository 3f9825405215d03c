"""A decoder that looks where the prototypes of other images point: RPNet (see prototypes.py)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from workflow.lib.clusters.kmeans import distinct_rows, kmeans
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.decoders import CHANNELS, Decoder, load_decoder
from workflow.lib.refine.prototypes import foreground_map

ITERATIONS, RESTARTS = 50, 3  # of the k-means that fills a bank


class Bank(nn.Module):
    """Prototypes (K, 2, R, D) of the training tiles, for tiles that come without others.

    known: (K, 2) bool; a side may have fewer than K, or none.
    """

    def __init__(self, count: int, resolutions: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("prototypes", torch.zeros(count, 2, resolutions, dim))
        self.register_buffer("known", torch.zeros(count, 2, dtype=torch.bool))

    def fill(self, prototypes: torch.Tensor, known: torch.Tensor, *, seed: int) -> None:
        """Put k-means centroids of prototypes (N, 2, R, D), those `known` (N, 2), into the bank.

        Each has unit length at each resolution; the resolutions of a prototype stay together.
        """
        self.prototypes.zero_()
        self.known.zero_()
        for side in range(2):
            unit = functional.normalize(prototypes[known[:, side], side], dim=-1)
            points = unit.flatten(1).cpu().numpy().astype(np.float32)
            count = distinct_rows(points, len(self.known))
            if count:
                rng = np.random.default_rng(seed)
                effort = {"iterations": ITERATIONS, "restarts": RESTARTS}
                centroids, _, _ = kmeans(points, count, **effort, rng=rng)
                centroids = torch.from_numpy(centroids).view(count, *unit.shape[1:])
                self.prototypes[:count, side] = centroids.to(self.prototypes)
                self.known[:count, side] = True


class RegionDecoder(Decoder):
    """A decoder whose deepest feature map is multiplied by a foreground probability.

    dim: of what the deepest `resolutions` feature maps are projected to, each by a 1x1
        convolution; standardised, so that places differ by more than the mean that they share
    prototypes: per side, at most, in the bank
    temperature: of the softmax over cosines
    """

    def __init__(
        self,
        classifier: Classifier,
        channels: Sequence[int] = CHANNELS,
        *,
        resolutions: int,
        dim: int,
        prototypes: int,
        temperature: float,
    ) -> None:
        super().__init__(classifier, channels)
        deepest = classifier.backbone.channels[-resolutions:]
        self.temperature = temperature
        self.made = {"resolutions": resolutions, "dim": dim, "prototypes": prototypes}
        self.learnt["projections"] = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, dim, 1, bias=False), nn.BatchNorm2d(dim, affine=False))
            for wide in deepest
        )
        self.learnt["bank"] = Bank(prototypes, len(deepest), dim)

    def look(self, tiles: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Feature maps (B, C, h, w) of RGB tiles (B, 3, H, W), and the projected deepest R."""
        with torch.no_grad():
            features = self.classifier.pyramid(tiles)
        layers = self.learnt["projections"]
        deepest = features[-len(layers) :]
        return features, [layer(each) for layer, each in zip(layers, deepest, strict=True)]

    def compare(
        self, projected: Sequence[torch.Tensor], prototypes: torch.Tensor, sources: torch.Tensor
    ) -> torch.Tensor:
        """`prototypes.foreground_map` at this decoder's temperature."""
        return foreground_map(projected, prototypes, sources, temperature=self.temperature)

    def decode(
        self, tiles: torch.Tensor, features: Sequence[torch.Tensor], foreground: torch.Tensor
    ) -> torch.Tensor:
        """Logits (B, 2, H, W) of tiles with a foreground probability (B, h, w)."""
        *skips, deepest = features
        seen = deepest * functional.adaptive_avg_pool2d(foreground[:, None], deepest.shape[-2:])
        return self.logits(tiles, [*skips, seen])

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Logits (B, 2, H, W) of RGB tiles (B, 3, H, W), compared with the bank."""
        features, projected = self.look(tiles)
        bank = self.learnt["bank"]
        sources = bank.known.T.expand(len(tiles), -1, -1)
        return self.decode(tiles, features, self.compare(projected, bank.prototypes, sources))

    def save(self, folder: Path, facts: dict, *, trained_on: str) -> None:
        """As `Decoder.save`, bank included."""
        made = {**self.made, "temperature": self.temperature}
        super().save(folder, {**facts, "regions": made}, trained_on=trained_on)


def load_region_decoder(folder: Path, classifier: Classifier, *, trained_on: str) -> RegionDecoder:
    """What `RegionDecoder.save` wrote, as `load_decoder` loads a decoder."""

    def build(record: dict) -> RegionDecoder:
        return RegionDecoder(classifier, record["channels"], **record["regions"])

    return load_decoder(folder, classifier, trained_on=trained_on, build=build)
