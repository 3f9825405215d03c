"""Deep Zoom geometry: which square of a slide a tile of a pyramid shows.

Level 0 is one pixel; each further level is twice as fine; the last is the picture itself. Tiles are
counted from the top left. Each shows a pixel of its neighbours on all inner sides, from which a
viewer interpolates across the border; the last of a row or column may be smaller.
"""

from dataclasses import dataclass
from math import floor, log2

TILE_PX = 512
OVERLAP_PX = 1


@dataclass(frozen=True)
class Box:
    """What a tile shows: its corner (y, x) in level-0 px, its (h, w) px, level-0 px per px."""

    origin_px0: tuple[int, int]
    shape: tuple[int, int]
    step_px0: float


@dataclass(frozen=True)
class Pyramid:
    """The levels of a picture of a slide of `size_px0` (height, width).

    `finest_px0`, a power of two, is how many level-0 px wide a pixel of the last level is.
    """

    size_px0: tuple[int, int]
    finest_px0: int = 1

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the last level."""
        return self._shape(self.finest_px0)

    @property
    def last(self) -> int:
        """Number of the last level.

        >>> Pyramid((600, 1025)).last, Pyramid((1, 1)).last
        (11, 0)
        """
        return (max(self.shape) - 1).bit_length()

    @property
    def first(self) -> int:
        """Number of the last level that is a single tile; none below is worth asking for."""
        return min(self.last, (TILE_PX - 1).bit_length())

    def tile(self, level: int, row: int, column: int) -> Box:
        """Raises LookupError where the pyramid has no such tile.

        >>> Pyramid((600, 1025)).tile(10, 0, 1)
        Box(origin_px0=(0, 1022), shape=(300, 2), step_px0=2)
        """
        if not 0 <= level <= self.last:
            raise LookupError(f"there is no level {level}; the last is {self.last}")
        step = self.finest_px0 << (self.last - level)
        sides, place = self._shape(step), (row, column)
        if min(place) < 0 or any(n * TILE_PX >= side for n, side in zip(place, sides, strict=True)):
            raise LookupError(f"level {level} has no tile in row {row}, column {column}")
        corner = [max(0, n * TILE_PX - OVERLAP_PX) for n in place]
        ends = [
            min(side, (n + 1) * TILE_PX + OVERLAP_PX) for n, side in zip(place, sides, strict=True)
        ]
        shape = (ends[0] - corner[0], ends[1] - corner[1])
        return Box((corner[0] * step, corner[1] * step), shape, step)

    def _shape(self, step: int) -> tuple[int, int]:
        return -(-self.size_px0[0] // step), -(-self.size_px0[1] // step)


def power_below(step_px0: float) -> int:
    """The largest power of two that is no larger, 1 at least.

    >>> [power_below(step) for step in (0.3, 1.0, 2.1, 4.0, 224.0)]
    [1, 1, 2, 4, 128]
    """
    return 1 << max(0, floor(log2(step_px0)))
