"""A small picture of a whole slide, read once in blocks, and a note of what could not be read."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from workflow.lib.jobs.verdicts import BadPixels

# Side of a block, in whole stored tiles where they are smaller: memory stays below about 100 MB
# whatever the slide, and the sum over a block of 2048 x 2048 bytes still fits 32 bits.
_BLOCK_PX, _MAX_BLOCK_PX = 1024, 2048

_ROWS = 256  # of the picture that are averaged at a time
_BLACK = 16  # JPEG leaves noise of this size in black areas

Box = tuple[int, int, int, int]  # top, left, height, width in px of the level


class Readable(Protocol):
    """What a survey needs of a slide reader."""

    width_px0: int
    height_px0: int
    levels: tuple
    tile_shapes: tuple[tuple[int, int], ...]

    def read_stored(
        self, origin_px0: tuple[int, int], shape_px: tuple[int, int], level: int
    ) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class Survey:
    """`rgb` (h, w, 3) uint8; `stored` (h, w) float32, the share of pixels that the file holds.

    `tiles` stored tiles of `level` were visited; `bad` of them cannot be decoded and are white,
    which is the share `damaged` of the area.
    """

    rgb: np.ndarray
    stored: np.ndarray
    level: int
    tiles: int
    bad: int
    damaged: float


def survey(reader: Readable, max_side_px: int) -> Survey:
    """Average the slide by area until its longer side is `max_side_px` (never enlarged).

    The coarsest level that is fine enough is read, block by block. In a block that fails, each
    stored tile is tried alone.
    """
    shape = thumbnail_shape((reader.height_px0, reader.width_px0), max_side_px)
    level = level_for(reader, shape)
    size = (reader.levels[level].height, reader.levels[level].width)
    edges = [np.linspace(0, side, cells + 1) for side, cells in zip(size, shape, strict=True)]
    total = np.zeros((*shape, 4), np.float32)
    tile = tuple(min(side, _MAX_BLOCK_PX) for side in reader.tile_shapes[level])
    bad = damaged_px = 0
    for box in _boxes((0, 0, *size), tuple(_block_side(side) for side in tile)):
        try:
            _add(total, reader, level, box, edges)
        except BadPixels:
            for part in _boxes(box, tile):
                try:
                    _add(total, reader, level, part, edges)
                except BadPixels:
                    bad += 1
                    damaged_px += part[2] * part[3]
                    white = np.full((*part[2:], 4), 255, np.uint8)
                    white[..., 3] = 0
                    _spread(total, white, part, edges)
    rgb, kept = np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32)
    heights, widths = np.diff(edges[0])[:, None, None], np.diff(edges[1])[:, None]
    for row in range(0, shape[0], _ROWS):  # float64 of the whole would be most of a stage's memory
        rows = slice(row, row + _ROWS)
        mean = total[rows] / (heights[rows] * widths)
        rgb[rows] = mean[..., :3].round().clip(0, 255)
        kept[rows] = mean[..., 3] / 255
    tiles = int(np.prod([-(-side // length) for side, length in zip(size, tile, strict=True)]))
    return Survey(rgb, kept, level, tiles, bad, damaged_px / (size[0] * size[1]))


def thumbnail_shape(shape_px0: tuple[int, int], max_side_px: int) -> tuple[int, int]:
    """(h, w) of a thumbnail: the longer side `max_side_px`, at least one px, never enlarged.

    >>> thumbnail_shape((3000, 2000), 300), thumbnail_shape((30, 20), 300)
    ((300, 200), (30, 20))
    """
    scale = min(1.0, max_side_px / max(shape_px0))
    return tuple(max(1, round(side * scale)) for side in shape_px0)


def level_for(reader: Readable, shape: tuple[int, int]) -> int:
    """The coarsest level that has at least `shape` (h, w) pixels."""
    return max(
        level
        for level, found in enumerate(reader.levels)
        if level == 0 or (found.height >= shape[0] and found.width >= shape[1])
    )


def _boxes(box: Box, side: tuple[int, int]) -> Iterator[Box]:
    top, left, height, width = box
    for y in range(top, top + height, side[0]):
        for x in range(left, left + width, side[1]):
            yield y, x, min(side[0], top + height - y), min(side[1], left + width - x)


def _block_side(tile: int) -> int:
    return max(1, _BLOCK_PX // tile) * tile


def _add(total: np.ndarray, reader: Readable, level: int, box: Box, edges: list) -> None:
    """Read one box and add it to the cells of `total` that it meets."""
    downsample = reader.levels[level].downsample
    origin_px0 = tuple(round(start * downsample) for start in box[:2])
    rgb, stored = reader.read_stored(origin_px0, box[2:], level)
    _spread(total, np.dstack([rgb, stored.astype(np.uint8) * 255]), box, edges)


def _spread(total: np.ndarray, pixels: np.ndarray, box: Box, edges: list) -> None:
    """Add `pixels` (h, w, 4) uint8 of a box to `total`, split by area where cells cut a pixel.

    An integral image read between its nodes is the exact area sum under the pixels.
    """
    sums = cv2.integral(pixels)
    cells = []
    for axis, (start, length) in enumerate(zip(box[:2], box[2:], strict=True)):
        first = np.searchsorted(edges[axis], start, side="right") - 1
        last = np.searchsorted(edges[axis], start + length, side="left")
        cells.append(slice(first, last))
        at = np.clip(edges[axis][first : last + 1] - start, 0, length)
        low = np.minimum(at.astype(int), length - 1)
        weight = (at - low).reshape(-1, *[1] * (2 - axis))
        below, above = (np.take(sums, low + step, axis=axis) for step in (0, 1))
        sums = np.diff(below + (above - below) * weight, axis=axis)
    total[tuple(cells)] += sums


def brightness(rgb: np.ndarray, stored: np.ndarray) -> float:
    """Median luminance (0..255) of the stored pixels that are not black; 0 when there are none.

    Black is what scanners and converters write where nothing was scanned, so it says nothing
    about the stain. `rgb` is (..., 3) uint8, `stored` (...) truthy where the file holds pixels.
    """
    lit = (stored > 0) & (rgb.max(axis=-1) > _BLACK)
    if not lit.any():
        return 0.0
    return float(np.median(rgb[lit] @ np.array([0.299, 0.587, 0.114])))
