"""Where the tiles of a slide lie, and how much tissue they hold.

The pixels of a tile store have one size, `mpp`, and one grid: store pixel (i, j) covers the square
[i * scale, (i + 1) * scale) x [j * scale, (j + 1) * scale) of level-0 pixels, in every tile alike.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from workflow.lib.jobs.verdicts import Quarantine


@dataclass(frozen=True)
class TileSpec:
    """The tile grid of one slide. Sizes and strides are in store px, `_px0` in level-0 px."""

    width_px0: int
    height_px0: int
    slide_mpp: float
    mpp: float
    tile_px: int
    stride_px: int

    def __post_init__(self) -> None:
        if not 1 <= self.stride_px <= self.tile_px:
            raise ValueError(
                f"stride_px {self.stride_px} does not lie between 1 and tile_px {self.tile_px};"
                " a larger one would leave parts of the slide without a tile"
            )

    @property
    def scale(self) -> float:
        """Level-0 px per store px."""
        scale = self.mpp / self.slide_mpp
        # 0.3 / 0.1 is not quite 3 in binary; an exact factor copies pixels instead of blending.
        return float(round(scale)) if abs(scale - round(scale)) < 1e-6 and scale > 0.5 else scale

    @property
    def height_px(self) -> int:
        """Height of the slide in store px; the last one may reach over its edge."""
        return self._side_px(self.height_px0)

    @property
    def width_px(self) -> int:
        """Width of the slide in store px; the last one may reach over its edge."""
        return self._side_px(self.width_px0)

    def _side_px(self, side_px0: int) -> int:
        return max(1, math.ceil(side_px0 / self.scale - 1e-6))

    def check_upsampling(self, max_upsample: float, *, slide: str) -> None:
        """Raise Quarantine E_COARSE when the slide would be enlarged more than that many times."""
        factor = 1 / self.scale
        if factor > max_upsample * (1 + 1e-6):
            raise Quarantine(
                "E_COARSE",
                f"{slide} has {self.slide_mpp:g} um per pixel and the study asks for {self.mpp:g}:"
                f" it would be enlarged {factor:.2f} times, more than max_upsample ="
                f" {max_upsample:g}.",
            )

    def attributes(self) -> dict[str, int | float]:
        """What a tile store says of its geometry."""
        return {
            "mpp": self.mpp,
            "tile_px": self.tile_px,
            "stride_px": self.stride_px,
            "scale": self.scale,
            "width_px": self.width_px,
            "height_px": self.height_px,
            "width_px0": self.width_px0,
            "height_px0": self.height_px0,
        }


def grid(spec: TileSpec) -> np.ndarray:
    """Top-left corners (y, x) in store px of tiles that cover the slide, row by row, (N, 2) int64.

    Multiples of the stride; a last row and column are shifted inwards to end at the slide's edge.
    A slide smaller than a tile has one tile there, padded with white.
    """
    rows, columns = (
        _corners(side, spec.tile_px, spec.stride_px) for side in (spec.height_px, spec.width_px)
    )
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def _corners(side: int, tile_px: int, stride_px: int) -> np.ndarray:
    """
    >>> _corners(10, 4, 4).tolist(), _corners(8, 4, 4).tolist(), _corners(3, 4, 4).tolist()
    ([0, 4, 6], [0, 4], [0])
    """
    last = max(side - tile_px, 0)
    corners = np.arange(0, last + 1, stride_px, dtype=np.int64)
    return corners if corners[-1] == last else np.append(corners, last)


def origins(spec: TileSpec, positions: np.ndarray) -> np.ndarray:
    """The same corners (N, 2) in level-0 px, rounded, int64. Pixels are read unrounded."""
    return np.rint(positions * spec.scale).astype(np.int64)


def tissue_fraction(mask: np.ndarray, spec: TileSpec, positions: np.ndarray) -> np.ndarray:
    """Share of each tile that is tissue, (N,) float32; what lies outside the slide is not.

    `mask` (h, w) bool is the slide from edge to edge. Tiles are weighed by the exact area that
    they share with each mask pixel.
    """
    sums = cv2.integral(mask.astype(np.uint8), sdepth=cv2.CV_64F)
    per_px = np.array(mask.shape) * spec.scale / (spec.height_px0, spec.width_px0)
    low = positions * per_px
    high = (positions + spec.tile_px) * per_px
    (top, left), (bottom, right) = low.T, high.T
    area = (
        _between_nodes(sums, bottom, right)
        - _between_nodes(sums, top, right)
        - _between_nodes(sums, bottom, left)
        + _between_nodes(sums, top, left)
    )
    return np.clip(area / np.prod(spec.tile_px * per_px), 0, 1).astype(np.float32)


def _between_nodes(sums: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """An integral image at fractional points: linear between nodes, as area within a pixel is."""
    y, x = (np.clip(at, 0, side - 1) for at, side in zip((y, x), sums.shape, strict=True))
    i, j = (
        np.minimum(at.astype(int), side - 2) for at, side in zip((y, x), sums.shape, strict=True)
    )
    dy, dx = y - i, x - j
    above = sums[i, j] * (1 - dx) + sums[i, j + 1] * dx
    below = sums[i + 1, j] * (1 - dx) + sums[i + 1, j + 1] * dx
    return above * (1 - dy) + below * dy
