"""Tiled JPEG slides (Aperio, generic TIFF) decoded from the bytes of their tiles, past OpenSlide.

OpenSlide opens the file, says what it is, and stays the judge: what is not plainly a whole stored
JPEG tile is read by it, and a level whose pixels differ from its own is left to it.
"""

import os
from collections import OrderedDict
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import simplejpeg
import tifffile

from workflow.lib.slides.images import YX
from workflow.lib.slides.openslides import OpenSlideFile

_CACHE_BYTES = 128 << 20  # two rows of tiles of a slide 80,000 px wide
_VENDORS = {"aperio", "generic-tiff"}  # elsewhere tiles overlap, or levels are cropped
_JPEG, _RGB, _YCBCR, _CONTIGUOUS = 7, 2, 6, 1
# The tile does not say its colours, the TIFF does: an Adobe segment, transform 0 = RGB, 1 = YCbCr.
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_SOI, _SCAN, _COMMENT = b"\xff\xd8", 0xDA, 0xFE
_WHOLE_PX = 1e-3  # px; OpenSlide blends pixels where it is asked between them


@dataclass(frozen=True)
class _Grid:
    """Where the tiles of a level lie in the file, and what each JPEG has to begin with."""

    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    columns: int
    tile: YX
    head: bytes


class TiledTiffFile:
    """An open slide with the calls of the other slide files, and the very pixels of `judge`.

    `read` gives (h, w, 3) RGB where it decodes by itself: nothing in it is transparent.
    """

    backend = "libjpeg-turbo"

    def __init__(self, path: Path, judge: OpenSlideFile, grids: dict[int, _Grid]) -> None:
        self.vendor, self.sizes, self.tile_shapes = judge.vendor, judge.sizes, judge.tile_shapes
        self.background, self.magnification = judge.background, judge.magnification
        self.pixel_sizes, self.fluorescence = judge.pixel_sizes, judge.fluorescence
        self.mislabelled_ycbcr = judge.mislabelled_ycbcr
        self._judge, self._grids = judge, grids
        self._trusted: dict[int, bool] = {}
        self._cache: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        self._held = 0  # bytes in the cache
        self._descriptor = os.open(path, os.O_RDONLY)

    def read(self, origin_px0: YX, shape_px: YX, level: int) -> np.ndarray:
        """Region as (h, w, 3) uint8 RGB, or (h, w, 4) RGBA where the judge had to read it."""
        region = self._direct(origin_px0, shape_px, level)
        return self._judge.read(origin_px0, shape_px, level) if region is None else region

    def close(self) -> None:
        self._judge.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    def _direct(self, origin_px0: YX, shape_px: YX, level: int) -> np.ndarray | None:
        """The region from stored tiles alone; None where they do not give it."""
        origin = self._origin(origin_px0, level)
        ends = [start + length for start, length in zip(origin or (), shape_px, strict=False)]
        if not ends or min(shape_px) < 1 or min(origin) < 0:
            return None
        if any(end > side for end, side in zip(ends, self.sizes[level], strict=True)):
            return None
        if not self._trust(level):
            return None
        grid = self._grids[level]
        spans = [
            range(start // side, -(-end // side))
            for start, end, side in zip(origin, ends, grid.tile, strict=True)
        ]
        if tuple(shape_px) == grid.tile and all(len(span) == 1 for span in spans):
            return self._decode(grid, spans[0][0] * grid.columns + spans[1][0])  # no copy is made
        region = np.empty((*shape_px, 3), np.uint8)
        for row, column in product(*spans):
            tile = self._tile(level, row * grid.columns + column)
            if tile is None:
                return None
            top, left = row * grid.tile[0] - origin[0], column * grid.tile[1] - origin[1]
            target = region[max(top, 0) : top + grid.tile[0], max(left, 0) : left + grid.tile[1]]
            inside = tile[max(-top, 0) :, max(-left, 0) :]
            target[:] = inside[: target.shape[0], : target.shape[1]]
        return region

    def _origin(self, origin_px0: YX, level: int) -> YX | None:
        """The origin in whole px of the level; None where it lies between them, or no tiles do."""
        if level not in self._grids:
            return None
        height, width = self.sizes[level]
        downsample = (self.sizes[0][0] / height + self.sizes[0][1] / width) / 2
        exact = [start / downsample for start in origin_px0]
        if any(abs(start - round(start)) > _WHOLE_PX for start in exact):
            return None
        return round(exact[0]), round(exact[1])

    def _trust(self, level: int) -> bool:
        """Whether tiles look as the judge shows them: three that are stored are compared, once."""
        if level not in self._trusted:
            grid = self._grids[level]
            stored = np.flatnonzero(grid.counts)
            chosen = {int(stored[len(stored) * i // 4]) for i in (1, 2, 3)} if len(stored) else ()
            found = [self._agrees(level, index) for index in sorted(chosen)]
            self._trusted[level] = True in found and False not in found
        return self._trusted[level]

    def _agrees(self, level: int, index: int) -> bool | None:
        """Whether a tile is decoded as the judge decodes it; None where either cannot."""
        grid, size = self._grids[level], self.sizes[level]
        row, column = divmod(index, grid.columns)
        corner = (row * grid.tile[0], column * grid.tile[1])
        height, width = (
            min(side, whole - start)
            for side, whole, start in zip(grid.tile, size, corner, strict=True)
        )
        tile = self._decode(grid, index)
        downsample = (self.sizes[0][0] / size[0] + self.sizes[0][1] / size[1]) / 2
        origin_px0 = tuple(round(start * downsample) for start in corner)
        if tile is None or self._origin(origin_px0, level) != corner:
            return None
        try:
            rgba = self._judge.read(origin_px0, (height, width), level)
        except Exception:  # whatever it is, reading that tile will say so again
            return None
        same = np.array_equal(rgba[..., :3], tile[:height, :width])
        return bool(same and (rgba[..., 3] == 255).all())

    def _tile(self, level: int, index: int) -> np.ndarray | None:
        """A stored tile (h, w, 3), from the cache where it is there."""
        key = (level, index)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        tile = self._decode(self._grids[level], index)
        if tile is not None:
            self._cache[key] = tile
            self._held += tile.nbytes
            while self._held > _CACHE_BYTES and len(self._cache) > 1:
                self._held -= self._cache.popitem(last=False)[1].nbytes
        return tile

    def _decode(self, grid: _Grid, index: int) -> np.ndarray | None:
        """A tile decoded anew; None where it is not stored, or damaged: the judge says which."""
        tile = np.empty((*grid.tile, 3), np.uint8)
        count = grid.counts[index]
        if not 0 < count <= 2 * tile.nbytes + (1 << 16):
            return None
        try:
            data = os.pread(self._descriptor, count, grid.offsets[index])
            stream = whole_jpeg(data, grid.head) if len(data) == count else b""
            # Strict: what libjpeg only warns of is damage to OpenSlide, and so it is here.
            found = simplejpeg.decode_jpeg(stream, "RGB", buffer=tile, strict=True)
        except (OSError, OverflowError, ValueError):
            return None
        return tile if found.shape == tile.shape else None


def read_directly(path: Path, file: object) -> object:
    """`file`, or its fast reading where it is a slide of OpenSlide with levels of JPEG tiles."""
    if not isinstance(file, OpenSlideFile) or file.vendor not in _VENDORS:
        return file
    grids = {}
    try:
        with tifffile.TiffFile(path) as tiff:
            pages = [page for page in tiff.pages if page.is_tiled]
            for level, (size, tile) in enumerate(zip(file.sizes, file.tile_shapes, strict=True)):
                # Sizes tell levels apart; where they do not, nobody but OpenSlide knows.
                fits = [p for p in pages if (p.imagelength, p.imagewidth) == size]
                if len(fits) == 1 and (grid := _grid(fits[0], size, tile)):
                    grids[level] = grid
    except Exception:  # tifffile meets damage with every kind of error
        return file
    return TiledTiffFile(path, file, grids) if grids else file


def whole_jpeg(data: bytes, head: bytes) -> bytes:
    """A JPEG that any decoder opens, from the abbreviated one of a tile and what it begins with.

    The tile's own application segments and comments are left out: the TIFF says its colours.
    Raises ValueError where there is no JPEG with a scan.
    """
    if data[:2] != _SOI:
        raise ValueError("these bytes do not begin as a JPEG does")
    parts, at = [head], 2
    while len(data) > at + 4 and data[at] == 0xFF:
        kind, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == _SCAN:
            return b"".join([*parts, data[at:]])
        if not (0xE0 <= kind <= 0xEF or kind == _COMMENT):
            parts.append(data[at:end])
        at = end
    raise ValueError("the JPEG has no scan")


def _grid(page: tifffile.TiffPage, size: YX, tile: YX) -> _Grid | None:
    """The tiles of a directory, where they are 8-bit JPEG of three colours."""
    rows, columns = (-(-side // length) for side, length in zip(size, tile, strict=True))
    if (
        (page.tilelength, page.tilewidth) != tile
        or page.compression != _JPEG
        or page.photometric not in (_RGB, _YCBCR)
        or page.planarconfig != _CONTIGUOUS
        or (page.samplesperpixel, page.bitspersample) != (3, 8)
        or not len(page.dataoffsets) == len(page.databytecounts) == rows * columns
    ):
        return None
    colours = _ADOBE + (b"\x00" if page.photometric == _RGB else b"\x01")
    tables = (page.jpegtables or b"\xff\xd8\xff\xd9")[2:-2]
    return _Grid(
        offsets=tuple(page.dataoffsets),
        counts=tuple(page.databytecounts),
        columns=columns,
        tile=tile,
        head=_SOI + colours + tables,
    )
