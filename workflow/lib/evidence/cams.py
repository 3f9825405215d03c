"""Class activation maps: scaled to 0..1, upsampled to pixels, and of which class.

A cam is the linear head of a classifier applied at every location of its last feature map
(Zhou et al., CVPR 2016), bias included: unbounded numbers, one map per class. Here they become
evidence in 0..1 at tile resolution. The published methods scale one image at a time; a tile of
a slide is not an image: scaled on its own, a tile without tumour would be stretched until its
noise looks like tumour. So `minmax` scales with the low and high of the whole slide, which is
the published rule wherever a slide is a single image; `minmax_tile` is that rule elsewhere.

The maps of all other methods (gradient_cams.py, grabcut.py) are relevance of 0 or more: how much a
location speaks for a class, in a unit of that class and method. Two classes cannot be compared by
it, so that these maps are scaled by `minmax` where `softmax` is asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.shards import Shards
from workflow.lib.tiles.stores import open_group

Scale = Literal["minmax", "minmax_tile", "softmax"]
RELATIVE = ("minmax", "minmax_tile")  # evidence that has the unit of its own slide, or tile


def normalise(cam: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Put raw evidence (...) onto 0..1 with `low` at 0 and `high` at 1, clipped outside.

    Not-a-number is no evidence (0). A map without contrast (high <= low, or a bound that is
    not finite) says nothing about where, so it is 0 everywhere rather than a division by zero.
    """
    cam = cam.float()
    if not (np.isfinite(low) and np.isfinite(high)) or high <= low:
        return torch.zeros_like(cam)
    return torch.nan_to_num((cam - low) / (high - low), nan=0.0).clamp(0.0, 1.0)


def scale_cams(
    cams: torch.Tensor, of: int, *, scale: Scale, low: float, high: float
) -> torch.Tensor:
    """Evidence (N, h, w) float32 in 0..1 for class `of` from raw cams (N, C, h, w).

    `minmax` uses the slide's own `low` and `high` of that class, `minmax_tile` those of each tile.
    `softmax` compares the classes at each location and uses no scale of the slide, so a slide
    without the class stays low; it needs at least two classes.
    """
    if scale == "minmax":
        return normalise(cams[:, of], low, high)
    if scale == "minmax_tile":
        each = cams[:, of].float()
        scaled = [normalise(cam, float(cam.min()), float(cam.max())) for cam in each]
        return torch.stack(scaled) if scaled else each
    if scale == "softmax":
        if cams.shape[1] < 2:
            raise ValueError("cam_scale is softmax, which compares classes, but there is one class")
        shares = torch.softmax(cams.float(), dim=1)[:, of]
        return torch.nan_to_num(shares, nan=0.0)
    raise ValueError(f"cam_scale is {scale!r}; write minmax, minmax_tile or softmax")


def scale_of(cam: str, asked: Scale) -> Scale:
    """How maps of the method `cam` are scaled where `asked` is what cams are scaled by."""
    if cam == "grabcut":  # 0 or 1 already
        return "minmax"
    return "minmax" if asked == "softmax" and cam != "cam" else asked


def is_flat(facts: Mapping, scale: Scale) -> bool:
    """Whether the maps of a slide have no contrast where they are scaled by it: they say nothing.

    facts: what make_cams noted of the slide; scale: of the cams, see scale_of.
    """
    return scale_of(facts["cam"], scale) in RELATIVE and facts["high"] <= facts["low"]


def slide_evidence(
    cams: np.ndarray, classes: Sequence[str], facts: Mapping, *, scale: Scale
) -> torch.Tensor:
    """Evidence (N, h, w) float32 in 0..1 from stored cams (N, C, h, w) of a slide, all or some.

    facts: what make_cams noted of the slide: cam, class, low and high.
    scale: of the cams; see scale_of for the maps of other methods.
    """
    of, scale = list(classes).index(facts["class"]), scale_of(facts["cam"], scale)
    bounds = {"low": facts["low"], "high": facts["high"]}
    return scale_cams(torch.from_numpy(cams), of, scale=scale, **bounds)


def open_evidence(unit: Path, scale: Scale) -> Callable[[slice], torch.Tensor]:
    """Reads evidence (n, h, w) float32 in 0..1 of some tiles of the slide with cams in `unit`."""
    group, facts = open_group(unit / "cams.zarr"), manifest(unit)["facts"]
    cams, classes = Shards(unit / "cams.zarr" / "cams"), group.attrs["classes"]
    return lambda rows: slide_evidence(cams[rows], classes, facts, scale=scale)


def upsample(cams: torch.Tensor, tile_px: int) -> torch.Tensor:
    """Bilinear (N, h, w) -> (N, tile_px, tile_px): cell (i, j) sits at the middle of its block."""
    if len(cams) == 0:
        return cams.new_zeros((0, tile_px, tile_px))
    size = (tile_px, tile_px)
    return functional.interpolate(cams[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def shrink(probability: torch.Tensor, downsample: int) -> torch.Tensor:
    """Area average (B, t, t) -> (B, t / downsample, t / downsample).

    Raises ValueError when `downsample` does not divide t, because pixels would be cut off.
    """
    if downsample < 1 or probability.shape[-1] % downsample:
        raise ValueError(
            f"refine_masks.downsample is {downsample}, which does not divide the tile's "
            f"{probability.shape[-1]} px; use a divisor"
        )
    return functional.avg_pool2d(probability[:, None], downsample)[:, 0]


class CamTally:
    """What is noted of every tile while the cams of a slide stream by.

    logits: (N, C) float32, what the classifier says of the tile
    extremes: (N, C, 2) float32, the lowest and the highest value of each cam, as stored
    """

    def __init__(self, count: int, classes: int) -> None:
        self.logits = np.zeros((count, classes), np.float32)
        self.extremes = np.zeros((count, classes, 2), np.float32)

    def watch(self, found: Iterable[tuple[slice, np.ndarray, np.ndarray]]) -> Iterator[np.ndarray]:
        """Pass on cams (B, C, h, w) as float16, from blocks of (rows, cams, logits (B, C)).

        Raises ValueError, naming the tile, for evidence that is not finite (or beyond 65504).
        """
        for rows, maps, logits in found:
            self.logits[rows] = logits
            with np.errstate(over="ignore"):  # told as infinite below
                maps = maps.astype(np.float16)
            ends = np.stack([maps.min(axis=(2, 3)), maps.max(axis=(2, 3))], axis=-1)
            if not (good := np.isfinite(ends).all(axis=(1, 2))).all():
                raise ValueError(
                    f"E_NUMBER: the evidence in tile {rows.start + int(np.argmin(good))} is not a "
                    "finite number; look at that tile, or train the classifier anew"
                )
            self.extremes[rows] = ends
            yield maps

    def span(self, of: int, tiles: np.ndarray) -> tuple[float, float]:
        """The lowest and highest evidence of class `of` in `tiles` (N,) bool; (0, 0) for none."""
        ends = self.extremes[tiles, of]
        return (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 0.0)


def evidence_class(
    probability: Sequence[float],
    classes: Sequence[str],
    *,
    label: str | None,
    negative: str | None = None,
) -> tuple[str, str]:
    """The class whose cam is a slide's evidence, and why.

    probability: pooled over the slide's tiles, one number per class.
    label: the slide's true class where it may be used (training slides), else None: the class is
        then the predicted one, so that no slide that is tested or chosen on leans on its truth.
    negative: the class that means 'nothing here'. Evidence is never of that class, so that a
        heatmap always means the finding; such a slide shows the most probable finding instead.
    """
    if label is not None and label not in classes:
        raise ValueError(f"label {label!r} is not a class; the classes are {', '.join(classes)}")
    ranked = [classes[k] for k in np.argsort(-np.asarray(probability), kind="stable")]
    findings = [name for name in ranked if name != negative]
    if not findings:
        raise ValueError(f"the only class is the negative one ({negative}); add a class to find")
    if label is not None and label != negative:
        return label, "true label"
    if label is not None:
        return findings[0], "negative slide: no evidence of its own"
    if ranked[0] == negative:
        return findings[0], f"predicted {negative}: the most probable finding"
    return ranked[0], "predicted"
