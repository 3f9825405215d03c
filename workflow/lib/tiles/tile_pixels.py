"""The pixels of tiles: read from the best level, resampled to exactly the mpp of the store."""

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import cv2
import numpy as np

from workflow.lib.jobs.verdicts import BadPixels
from workflow.lib.slides.resampling import resample
from workflow.lib.tiles.tiling import TileSpec

REGION_PX = (
    1 << 20
)  # pixels of the slide that are held at a time; more leaves the cache, and is slower


class Level(Protocol):
    """One resolution of a slide: its size, and level-0 px per px of it."""

    width: int
    height: int
    downsample: float


class Reader(Protocol):
    """What reading tiles needs of a slide reader; see `slides.SlideReader`."""

    mpp: float
    levels: Sequence[Level]
    tile_shapes: Sequence[tuple[int, int]]
    jpeg_levels: Collection[int]

    def read(
        self, origin_px0: tuple[int, int], shape_px: tuple[int, int], level: int = 0
    ) -> np.ndarray: ...

    def read_half(
        self,
        origin_half_px: tuple[int, int],
        shape_half_px: tuple[int, int],
        level: int = 0,
        *,
        rough: bool = False,
    ) -> np.ndarray | None: ...

    def read_jpeg(
        self, origin_px: tuple[int, int], level: int = 0
    ) -> tuple[bytes, np.ndarray] | None: ...


def choose_level(levels: Sequence[Level], scale: float) -> int:
    """The coarsest level that is not coarser than `scale` level-0 px per px; 0 if there is none."""
    fine = [i for i in range(len(levels)) if downsample(levels, i) <= scale * (1 + 1e-6)]
    return max(fine, key=lambda i: downsample(levels, i), default=0)


def downsample(levels: Sequence[Level], level: int) -> float:
    """Level-0 px per px of a level, a whole number where its size is one rounded.

    A reader divides sizes: 2967 / 741 = 4.004. What the scanner did was to halve twice.
    """
    base, found = levels[0], levels[level]
    whole = max(round(found.downsample), 1)
    rounded = (
        abs(base.width / whole - found.width) < 1 and abs(base.height / whole - found.height) < 1
    )
    return float(whole) if rounded else found.downsample


def read_tile(reader: Reader, spec: TileSpec, position: Sequence[int]) -> np.ndarray:
    """The tile at `position` (y, x) in store px, (t, t, 3) uint8; outside the slide it is white.

    Raises BadPixels when the slide's file is damaged there.
    """
    corner = (int(position[0]), int(position[1]))
    return _tile(reader, *_resolution(reader, spec), spec.tile_px, corner)


def read_tiles(
    reader: Reader, spec: TileSpec, positions: np.ndarray
) -> Iterator[np.ndarray | None]:
    """The tiles at `positions` (N, 2), in order, (t, t, 3) uint8; None where the file is damaged.

    Neighbours in a row are resampled together, up to a fixed number of pixels. Where that fails,
    each is read alone: damage costs the tiles that it touches. Tiles that are pixels of the level
    as they are, or halves, come one by one: they share no pixel, and nothing is copied twice.
    """
    level, factor = _resolution(reader, spec)
    if factor in (1, 2) and float(reader.levels[level].downsample).is_integer():
        for corner in positions.tolist():
            yield _whole(reader, level, factor, spec.tile_px, corner)
        return
    most = math.floor(REGION_PX / (spec.tile_px * factor) / factor)  # width in store px
    for run in _runs(positions, spec.tile_px, most):
        corner, width = run[0], int(run[-1, 1] - run[0, 1]) + spec.tile_px
        if len(run) > 1:
            try:
                band = _read(reader, level, factor, corner, (spec.tile_px, width))
            except BadPixels:
                pass  # a damaged spot somewhere in the band
            else:
                lefts = run[:, 1] - corner[1]
                yield from (band[:, left : left + spec.tile_px].copy() for left in lefts)
                continue
        for corner in run.tolist():
            yield _whole(reader, level, factor, spec.tile_px, corner)


def copy_tiles(
    reader: Reader, spec: TileSpec, positions: np.ndarray
) -> Iterator[tuple[np.ndarray | None, bytes | None]]:
    """As `read_tiles`, and the JPEG that the slide stores of each tile where it is one of its own.

    Pixels are those of the JPEG. It is for a slide of which `why_not_copied` says None.
    """
    level, factor = _resolution(reader, spec)
    for corner in positions.tolist():
        if found := reader.read_jpeg(corner, level):
            jpeg, tile = found
            yield tile, jpeg
        else:
            yield _whole(reader, level, factor, spec.tile_px, corner), None


def why_not_copied(reader: Reader, spec: TileSpec) -> str | None:
    """Why no tile of this grid is one that the slide stores as a JPEG; None where they may be."""
    level, factor = _resolution(reader, spec)
    height, width = reader.tile_shapes[level]
    if factor != 1:
        steps = [downsample(reader.levels, i) for i in range(len(reader.levels))]
        mpps = ", ".join(f"{reader.mpp * step:g}" for step in steps)
        return f"its levels have {mpps} um per pixel, and tiles {spec.mpp:g}"
    if spec.stride_px != spec.tile_px:
        return f"tiles overlap (stride_px {spec.stride_px}, tile_px {spec.tile_px}), its own do not"
    if (height, width) != (spec.tile_px, spec.tile_px):
        return f"its own tiles are {width} x {height} px, and tile_px is {spec.tile_px}"
    if level not in reader.jpeg_levels:
        return "its own tiles are no JPEGs that can be copied"
    return None


def _whole(
    reader: Reader, level: int, factor: float, tile_px: int, corner: Sequence[int]
) -> np.ndarray | None:
    """A tile, None where the file is damaged."""
    try:
        return _tile(reader, level, factor, tile_px, corner)
    except BadPixels:
        return None


def _tile(
    reader: Reader, level: int, factor: float, tile_px: int, corner: Sequence[int]
) -> np.ndarray:
    """As `read_tile`, of a level: in parts where it covers more than is held at a time."""
    side = max(1, math.floor((math.sqrt(REGION_PX) - 1) / factor))
    if tile_px <= side:
        return _read(reader, level, factor, corner, (tile_px, tile_px))
    tile = np.empty((tile_px, tile_px, 3), np.uint8)
    for top in range(0, tile_px, side):
        for left in range(0, tile_px, side):
            part = tile[top : top + side, left : left + side]
            part[:] = _read(
                reader, level, factor, (corner[0] + top, corner[1] + left), part.shape[:2]
            )
    return tile


def _resolution(reader: Reader, spec: TileSpec) -> tuple[int, float]:
    """The level that tiles are made from, and its pixels per store px."""
    level = choose_level(reader.levels, spec.scale)
    return level, spec.scale / downsample(reader.levels, level)


def _runs(positions: np.ndarray, tile_px: int, most: int) -> Iterator[np.ndarray]:
    """Consecutive positions (n, 2) of one row that touch or overlap, together `most` px wide."""
    start = 0
    for i in range(1, len(positions) + 1):
        if i < len(positions):
            (y, x), (before_y, before_x) = positions[i], positions[i - 1]
            apart = y != before_y or not before_x < x <= before_x + tile_px
            if not apart and x + tile_px - positions[start, 1] <= most:
                continue
        yield positions[start:i]
        start = i


def _read(
    reader: Reader, level: int, factor: float, corner: Sequence[int], shape: tuple[int, int]
) -> np.ndarray:
    """`shape` (h, w) store px from `corner` (y, x) in store px on, (h, w, 3) uint8."""
    step = reader.levels[level].downsample
    if factor == 1:
        return reader.read((round(corner[0] * step), round(corner[1] * step)), shape, level)
    if factor == 2 and (halves := reader.read_half(corner, shape, level)) is not None:
        return halves
    if factor > 2:
        first, extent, start = _covering(corner, factor / 2, shape)
        if (halves := reader.read_half(first, extent, level, rough=True)) is not None:
            return resample(halves, start, factor / 2, shape)
    first, extent, start = _covering(corner, factor, shape)
    # The reader is asked in its own level-0 px and rounds them to the same px of the level.
    region = reader.read((round(first[0] * step), round(first[1] * step)), extent, level)
    return resample(region, start, factor, shape)


def _covering(
    corner: Sequence[int], factor: float, shape: tuple[int, int]
) -> tuple[tuple[int, int], tuple[int, int], tuple[float, float]]:
    """The px that `shape` store px from `corner` on lie in: first, extent, and where they start."""
    start = [side * factor for side in corner]
    first = [math.floor(begin) for begin in start]
    last = [math.ceil((side + length) * factor) for side, length in zip(corner, shape, strict=True)]
    extent = (last[0] - first[0], last[1] - first[1])
    return tuple(first), extent, (start[0] - first[0], start[1] - first[1])


def blur_score(pixels: np.ndarray) -> float:
    """Variance of the Laplacian of the grey tile (t, t, 3) uint8: low where nothing is sharp.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (ICPR 2000). It grows with
    contrast too, so it ranks tiles of one stain and one mpp, and says nothing across studies.
    """
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    _, deviation = cv2.meanStdDev(cv2.Laplacian(grey, cv2.CV_16S))
    return float(deviation[0, 0] ** 2)
