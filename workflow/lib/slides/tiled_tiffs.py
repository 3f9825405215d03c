"""Tiled slides decoded from the bytes of their tiles, past the library that opened them.

That is OpenSlide (Aperio, Philips, generic TIFF), or tifffile (OME-TIFF). It says what the slide
is and stays the judge: what is not plainly a whole stored tile is read by it, and a level whose
pixels differ from its own is left to it.
"""

import os
from collections import OrderedDict
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from workflow.lib.slides.images import YX, overlap
from workflow.lib.slides.jpeg2000_tiles import Jpeg2000Tiles
from workflow.lib.slides.jpeg_tiles import JpegTiles
from workflow.lib.slides.judgement import agreeing_levels, nearness
from workflow.lib.slides.openslides import OpenSlideFile
from workflow.lib.slides.resampling import halve
from workflow.lib.slides.tiffs import TiffFile

_CACHE_BYTES = 128 << 20  # two rows of tiles of a slide 80,000 px wide
# Of OpenSlide, and of tifffile the last; elsewhere tiles overlap.
_VENDORS = {"aperio", "generic-tiff", "philips", "ome-tiff"}


class TiledTiffFile:
    """An open slide with the calls of the other slide files, and the very pixels of `judge`.

    `levels` are the tiles of the levels that it decodes by itself, from `descriptor`, which it
    closes; those of `scaled` may be decoded at half their size. `read` gives (h, w, 3) RGB there:
    nothing in it is transparent. For one thread; a forked process may go on with its copy.
    """

    def __init__(
        self,
        descriptor: int,
        judge: OpenSlideFile | TiffFile,
        levels: dict[int, JpegTiles | Jpeg2000Tiles],
        scaled: frozenset[int] = frozenset(),
    ) -> None:
        self.backend = next(iter(levels.values())).decoder
        self.vendor, self.sizes, self.tile_shapes = judge.vendor, judge.sizes, judge.tile_shapes
        self.background, self.magnification = judge.background, judge.magnification
        self.pixel_sizes, self.fluorescence = judge.pixel_sizes, judge.fluorescence
        self.mislabelled_ycbcr = judge.mislabelled_ycbcr
        self._descriptor, self._judge, self._levels = descriptor, judge, levels
        self._scaled = scaled
        self._cache: OrderedDict[tuple[int, int, bool], np.ndarray] = OrderedDict()
        self._held = 0  # bytes in the cache

    def read(self, origin_px0: YX, shape_px: YX, level: int) -> np.ndarray:
        """Region as (h, w, 3) uint8 RGB, or (h, w, 4) RGBA where not all of it is stored."""
        region = None
        if level in self._levels and (origin := whole_px(origin_px0, self.sizes, level)):
            region = self._region(level, origin, shape_px, half=False)
            region = self._edge(level, origin, shape_px) if region is None else region
        return self._judge.read(origin_px0, shape_px, level) if region is None else region

    def read_half(
        self, origin_half_px: YX, shape_half_px: YX, level: int, *, rough: bool = False
    ) -> np.ndarray | None:
        """Means of 2 x 2 px as (h, w, 3) uint8 RGB, in px twice as large as those of the level.

        None where stored tiles alone do not give them; with `rough`, where they have to be exact.
        """
        tiles = self._levels.get(level)
        if tiles is None or tiles.tile[0] % 2 or tiles.tile[1] % 2:
            return None
        if rough and level not in self._scaled:
            return None
        return self._region(level, origin_half_px, shape_half_px, half=True)

    @property
    def jpeg_levels(self) -> frozenset[int]:
        """The levels of which `read_jpeg` may give tiles."""
        return frozenset(i for i, tiles in self._levels.items() if isinstance(tiles, JpegTiles))

    def read_jpeg(self, origin_px: YX, level: int) -> tuple[bytes, np.ndarray] | None:
        """The stored tile that begins at `origin_px` of the level, see `SlideReader.read_jpeg`."""
        tiles = self._levels[level]
        places = [divmod(start, side) for start, side in zip(origin_px, tiles.tile, strict=True)]
        ends = [start + side for start, side in zip(origin_px, tiles.tile, strict=True)]
        (row, down), (column, across) = places
        if down or across or min(origin_px) < 0 or any(np.greater(ends, self.sizes[level])):
            return None
        return tiles.copy(row * tiles.columns + column)

    def close(self) -> None:
        self._judge.close()
        self._levels = {}  # their descriptor may be another file's from now on
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _region(self, level: int, origin: YX, shape: YX, *, half: bool) -> np.ndarray | None:
        """The region from stored tiles alone, in px or half px; None where they do not give it."""
        tiles, (top, left), (height, width) = self._levels[level], origin, shape
        step = 1 + half
        bottom, right = self.sizes[level]
        if min(top, left) < 0 or min(height, width) < 1:
            return None
        if (top + height) * step > bottom or (left + width) * step > right:
            return None
        tall, wide = tiles.tile[0] // step, tiles.tile[1] // step
        rows = range(top // tall, -(-(top + height) // tall))
        columns = range(left // wide, -(-(left + width) // wide))
        if (height, width) == (tall, wide) and len(rows) == len(columns) == 1 and not half:
            return tiles.decode(rows[0] * tiles.columns + columns[0])  # no copy is made
        region = np.empty((height, width, 3), np.uint8)
        for row, column in product(rows, columns):
            tile = self._tile(level, row * tiles.columns + column, half)
            if tile is None:
                return None
            above, before = row * tall - top, column * wide - left
            target = region[max(above, 0) : above + tall, max(before, 0) : before + wide]
            inside = tile[max(-above, 0) :, max(-before, 0) :]
            target[:] = inside[: target.shape[0], : target.shape[1]]
        return region

    def _edge(self, level: int, origin: YX, shape: YX) -> np.ndarray | None:
        """A region that reaches beyond the slide, as RGBA: nothing is stored there."""
        inside, target = overlap(origin, shape, self.sizes[level])
        corner, ends = ([getattr(part, end) for part in inside] for end in ("start", "stop"))
        part = (ends[0] - corner[0], ends[1] - corner[1])
        region = self._region(level, corner, part, half=False) if part != tuple(shape) else None
        if region is None:
            return None
        rgba = np.zeros((*shape, 4), np.uint8)
        rgba[target] = cv2.cvtColor(region, cv2.COLOR_RGB2RGBA)
        return rgba

    def _tile(self, level: int, index: int, half: bool) -> np.ndarray | None:
        """A stored tile (h, w, 3), halved or not, from the cache where it is there."""
        key = (level, index, half)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        scaled = half and level in self._scaled
        tiles = self._levels[level]
        tile = tiles.decode(index, half=True) if scaled else tiles.decode(index)
        if tile is None:
            return None
        if scaled:
            self.backend = f"{tiles.decoder} at half size"
        elif half:
            tile = halve(tile)
        self._cache[key] = tile
        self._held += tile.nbytes
        while self._held > _CACHE_BYTES and len(self._cache) > 1:
            self._held -= self._cache.popitem(last=False)[1].nbytes
        return tile


def read_directly(path: Path, file: object, *, half_db: float = 0) -> object:
    """`file`, or its fast reading where it is a slide of JPEG or JPEG 2000 tiles.

    Either way it is the caller's to close, and closes `file`. Which of the two it is, is decided
    here and once: some stored tiles of each level are compared with the pixels of `file`. Where
    they are decoded at half their size and come as near as `half_db` (PSNR) to their mean, all of
    the level are; 0 = none are.
    """
    if not isinstance(file, OpenSlideFile | TiffFile) or file.vendor not in _VENDORS:
        return file
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY)
        levels = agreeing_levels(path, descriptor, file)
        jpegs = {
            i: tiles for i, tiles in levels.items() if half_db and isinstance(tiles, JpegTiles)
        }
        scaled = frozenset(i for i, tiles in jpegs.items() if nearness(tiles) >= half_db)
    except Exception:  # tifffile meets damage with every kind of error
        levels = {}
    if levels:
        return TiledTiffFile(descriptor, file, levels, scaled)
    if descriptor >= 0:
        os.close(descriptor)
    return file


def whole_px(origin_px0: YX, sizes: tuple[YX, ...], level: int) -> YX | None:
    """An origin in px of a level that is a whole fraction of the first; None between its px.

    There OpenSlide blends pixels.
    """
    (y, x), step = origin_px0, sizes[0][0] // sizes[level][0]
    return None if y % step or x % step else (y // step, x // step)
