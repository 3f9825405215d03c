"""Two heatmaps of one slide: whether they lie on one grid, and how far apart they are."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from workflow.lib.maps.stitching import Band
from workflow.lib.tiles.codes import FULL

GRID = ("shape", "mpp", "scale_px0", "height_px0", "width_px0")  # facts of a manifest


class Apart(NamedTuple):
    """mean: of |a - b| in 0..1 over pixels that both cover, NaN without any; both, either: px."""

    mean: float
    both: int
    either: int


def grid_fault(a: Mapping, b: Mapping) -> str | None:
    """Why heatmaps with these facts cannot be compared pixel by pixel; None where they can."""
    if all(a[key] == b[key] for key in GRID):
        return None
    shown = (f"{' x '.join(map(str, f['shape']))} px of {f['mpp']:g} um" for f in (a, b))
    return f"other grids: {' and '.join(shown)}"


def difference(a: Iterable[Band], b: Iterable[Band]) -> Apart:
    """How far apart two heatmaps on one grid are, from their bands (heatmaps.read_bands)."""
    total = both = either = 0
    for (_, first, covered), (_, second, also) in zip(a, b, strict=True):
        shared = (covered != 0) & (also != 0)
        gap = np.abs(first.astype(np.int64) - second)
        total += int(gap[shared].sum())
        both += int(shared.sum())
        either += int(((covered != 0) | (also != 0)).sum())
    return Apart(total / both / FULL if both else math.nan, both, either)
