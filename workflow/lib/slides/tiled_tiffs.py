"""Tiled JPEG slides (Aperio, generic TIFF) decoded from the bytes of their tiles, past OpenSlide.

OpenSlide opens the file, says what it is, and stays the judge: what is not plainly a whole stored
JPEG tile is read by it, and a level whose pixels differ from its own is left to it.
"""

import os
from collections import OrderedDict
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import tifffile

from workflow.lib.slides.images import YX, overlap
from workflow.lib.slides.jpeg_tiles import JpegTiles, find_tiles
from workflow.lib.slides.openslides import OpenSlideFile
from workflow.lib.slides.resampling import halve

_CACHE_BYTES = 128 << 20  # two rows of tiles of a slide 80,000 px wide
_VENDORS = {"aperio", "generic-tiff"}  # elsewhere tiles overlap, or levels are cropped


class TiledTiffFile:
    """An open slide with the calls of the other slide files, and the very pixels of `judge`.

    `levels` are the tiles of the levels that it decodes by itself, from `descriptor`, which it
    closes; those of `scaled` may be decoded at half their size. `read` gives (h, w, 3) RGB there:
    nothing in it is transparent. For one thread; a forked process may go on with its copy.
    """

    def __init__(
        self,
        descriptor: int,
        judge: OpenSlideFile,
        levels: dict[int, JpegTiles],
        scaled: frozenset[int] = frozenset(),
    ) -> None:
        self.backend = "libjpeg-turbo"
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
        return frozenset(self._levels)

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
        tile = self._levels[level].decode(index, half=scaled)
        if tile is None:
            return None
        if scaled:
            self.backend = "libjpeg-turbo at half size"
        elif half:
            tile = halve(tile)
        self._cache[key] = tile
        self._held += tile.nbytes
        while self._held > _CACHE_BYTES and len(self._cache) > 1:
            self._held -= self._cache.popitem(last=False)[1].nbytes
        return tile


def read_directly(path: Path, file: object, *, half_db: float = 0) -> object:
    """`file`, or its fast reading where it is a slide of OpenSlide with levels of JPEG tiles.

    Either way it is the caller's to close, and closes `file`. Which of the two it is, is decided
    here and once: some stored tiles of each level are compared with the pixels of OpenSlide. Where
    they are decoded at half their size and come as near as `half_db` (PSNR) to their mean, all of
    the level are; 0 = none are.
    """
    if not isinstance(file, OpenSlideFile) or file.vendor not in _VENDORS:
        return file
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDONLY)
        levels = {
            level: tiles
            for level, tiles in _stored(path, descriptor, file).items()
            if _agree(tiles, level, file)
        }
        scaled = frozenset(i for i in levels if half_db and _nearness(levels[i]) >= half_db)
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


def _stored(path: Path, descriptor: int, file: OpenSlideFile) -> dict[int, JpegTiles]:
    """The JPEG tiles of each level that has them."""
    found = {}
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if page.is_tiled]
        for level, (size, tile) in enumerate(zip(file.sizes, file.tile_shapes, strict=True)):
            step = max(file.sizes[0][0] // size[0], 1)
            if file.sizes[0] != (step * size[0], step * size[1]):
                continue  # OpenSlide blends nearly everywhere
            # Sizes tell levels apart; where they do not, nobody but OpenSlide knows.
            fits = [p for p in pages if (p.imagelength, p.imagewidth) == size]
            if len(fits) == 1 and (tiles := find_tiles(descriptor, fits[0], size, tile)):
                found[level] = tiles
    return found


def _agree(tiles: JpegTiles, level: int, judge: OpenSlideFile) -> bool:
    """Whether tiles look as the judge shows them."""
    found = [_agrees(tiles, index, level, judge) for index in _chosen(tiles)]
    return True in found and False not in found


def _chosen(tiles: JpegTiles) -> list[int]:
    """Up to three stored tiles: those of most bytes have most to compare."""
    order = np.argsort(tiles.counts, kind="stable")
    stored = order[tiles.counts[order] > 0]
    places = {(len(stored) - 1) * i // 4 for i in (2, 3, 4)} if len(stored) else ()
    return [int(stored[place]) for place in sorted(places)]


def _nearness(tiles: JpegTiles) -> float:
    """The lowest PSNR in dB of a tile decoded at half its size, against the mean of 2 x 2 px."""
    if tiles.tile[0] % 2 or tiles.tile[1] % 2:
        return 0.0
    pairs = [[tiles.decode(i, half=half) for half in (False, True)] for i in _chosen(tiles)]
    return min(
        (
            cv2.PSNR(halve(whole), half)
            for whole, half in pairs
            if not (whole is None or half is None)
        ),
        default=0.0,
    )


def _agrees(tiles: JpegTiles, index: int, level: int, judge: OpenSlideFile) -> bool | None:
    """Whether a tile is decoded as the judge decodes it; None where either cannot."""
    tile, places = tiles.decode(index), divmod(index, tiles.columns)
    if tile is None:
        return None
    size, step = judge.sizes[level], judge.sizes[0][0] // judge.sizes[level][0]
    corner = [place * side for place, side in zip(places, tiles.tile, strict=True)]
    height, width = (
        min(side, whole - start)
        for side, whole, start in zip(tiles.tile, size, corner, strict=True)
    )
    try:
        rgba = judge.read((corner[0] * step, corner[1] * step), (height, width), level)
    except Exception:  # whatever it is, reading that tile will say so again
        return None
    same = np.array_equal(rgba[..., :3], tile[:height, :width])
    return bool(same and (rgba[..., 3] == 255).all())
