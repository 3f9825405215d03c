"""What makes the maps of a classifier for tiles: by any method, in one pass, over several views."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional

from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.evidence.consistency import Evidence, choose_level
from workflow.lib.evidence.grabcut import STRIDE_PX, cut_tiles, saliency
from workflow.lib.evidence.gradient_cams import (
    grad_cam,
    grad_cam_pp,
    layer_cam,
    score_cam,
    smooth_grad_cam_pp,
    x_grad_cam,
)
from workflow.lib.networks.backbones import IMAGENET_MEAN
from workflow.lib.networks.classifiers import Classifier

OF_THE_HEAD = {
    "gradcam": grad_cam,
    "gradcam_pp": grad_cam_pp,
    "xgradcam": x_grad_cam,
    "layercam": layer_cam,
}


class CamMaker:
    """Maps and logits of tiles, the backbone run once where the method allows it.

    classifier: frozen here
    cam: the method, one of CAMS
    scales, flips: the views of a tile whose maps are averaged, at the resolution of the plain map;
        GrabCut averages saliency. The logits are of the plain tile.
    evidence, consistency: what training images say of alike locations, for `cam` alone, and its
        share (Evidence.correct)
    seed: of the noise of smooth_gradcam_pp, which is the same for every tile, so that neither batch
        nor order matter, and of GrabCut
    smooth_samples, smooth_noise: noisy copies of a tile, and their noise in RGB of 0..1
    score_channels: channels that Score-CAM looks at
    """

    def __init__(
        self,
        classifier: Classifier,
        cam: str = "cam",
        *,
        scales: Sequence[float] = (1.0,),
        flips: bool = False,
        evidence: Evidence | None = None,
        consistency: float = 0.0,
        seed: int | None = None,
        smooth_samples: int | None = None,
        smooth_noise: float | None = None,
        score_channels: int | None = None,
    ) -> None:
        self.classifier, self.cam = classifier.requires_grad_(False), cam
        self.scales, self.flips = list(scales), flips
        self.evidence, self.consistency = evidence, consistency
        self.level = choose_level(classifier, evidence.stride) if evidence else -1
        self.seed, self.samples, self.noise = seed, smooth_samples, smooth_noise
        self.channels = score_channels

    def __call__(self, tiles: torch.Tensor, glands: torch.Tensor | None = None) -> torch.Tensor:
        """Rows (B, C h w + C) of RGB tiles (B, 3, t, t) in 0..1: the maps, then the logits.

        glands: (B, h, w), the maps of the method of that name; they are those of every class.
        """
        pyramid = self.classifier.pyramid(tiles)
        if self.cam == "glands":
            maps = glands[:, None].expand(-1, len(self.classifier.classes), -1, -1)
        else:
            maps = self._average(tiles, pyramid[-1])
        if self.cam == "grabcut":
            maps = cut_tiles(tiles, maps, seed=self.seed).to(maps)
        if self.evidence:
            maps = self.evidence.correct(maps, pyramid[self.level], self.consistency)
        logits = self.classifier.logits_of(pyramid[-1])
        return torch.cat([maps.flatten(1), logits.to(maps)], dim=1)

    @torch.inference_mode()
    def shape(self, tile_px: int, device: torch.device) -> tuple[int, int, int]:
        """(C, h, w) of the maps of a tile that the classifier makes."""
        if self.cam == "grabcut":
            return (len(self.classifier.classes), tile_px // STRIDE_PX, tile_px // STRIDE_PX)
        tile = torch.zeros(1, 3, tile_px, tile_px, device=device)
        return (len(self.classifier.classes), *self.classifier.pyramid(tile)[self.level].shape[2:])

    @staticmethod
    def split(rows: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Maps (B, C, h, w) and logits (B, C) from what a call gave."""
        classes = shape[0]
        return rows[:, :-classes].reshape(len(rows), *shape), rows[:, -classes:]

    def _average(self, tiles: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """The mean over all views of tiles whose last feature map is `features`."""
        size = tiles.shape[2:] if self.cam == "grabcut" else features.shape[2:]
        found = []
        for scale in self.scales:
            scaled = tiles if scale == 1 else _resize(tiles, _scaled(tiles, scale))
            found.append(_resize(self._look(scaled, features if scale == 1 else None), size))
            if self.flips:
                found.append(_resize(self._look(scaled.flip(3)).flip(3), size))
        return torch.stack(found).mean(dim=0)

    def _look(self, tiles: torch.Tensor, features: torch.Tensor | None = None) -> torch.Tensor:
        """Maps (B, C, h, w) of one view, of which the backbone has made `features` or not yet."""
        model = self.classifier
        if self.cam == "grabcut":
            return saliency(tiles, model.logits)
        features = model.backbone(tiles) if features is None else features
        if self.cam == "cam":
            return model.cam_of(features)
        if self.cam in OF_THE_HEAD:
            return OF_THE_HEAD[self.cam](features, model.logits_of)
        if self.cam == "smooth_gradcam_pp":
            return smooth_grad_cam_pp(features, list(self._noisy(tiles)), model.logits_of)
        if self.cam == "scorecam":
            fill = torch.tensor(IMAGENET_MEAN).to(tiles).view(3, 1, 1)
            return score_cam(tiles, features, model.logits, channels=self.channels, fill=fill)
        raise ValueError(f"{self.cam!r} is no method of make_cams; there are {', '.join(CAMS)}")

    def _noisy(self, tiles: torch.Tensor) -> Iterator[torch.Tensor]:
        generator = torch.Generator().manual_seed(self.seed)  # of the CPU: every device alike
        for _ in range(self.samples):
            noise = self.noise * torch.randn(tiles.shape[1:], generator=generator)
            yield self.classifier.backbone(tiles + noise.to(tiles))


def _scaled(tiles: torch.Tensor, scale: float) -> tuple[int, int]:
    height, width = tiles.shape[2:]
    return max(1, round(scale * height)), max(1, round(scale * width))


def _resize(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Bilinear, and averaged where it shrinks: (B, C, h, w) at `size`."""
    if tuple(maps.shape[2:]) == tuple(size):
        return maps
    return functional.interpolate(
        maps, tuple(size), mode="bilinear", align_corners=False, antialias=True
    )
