"""TIFF files that OpenSlide refuses: OME-TIFF with its levels in SubIFDs, flat striped files."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import tifffile

from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.images import MAX_FLAT_PX, YX, overlap
from workflow.lib.slides.pixel_sizes import from_ome, from_resolution

_CACHE_BYTES = 128 << 20
_JPEG = {6, 7, 34892, 33007}
_UNASSOCIATED_ALPHA, _ASSOCIATED_ALPHA = 2, 1


class TiffFile:
    """One open TIFF with the calls of the other slide files; stored tiles are decoded one by one.

    `pages` are the directories of its levels, those of SubIFDs included.

    Raises Quarantine: E_FORMAT when damaged or cut, E_ZSTACK for stacks, E_MODALITY for anything
    but 8-bit colour (8-bit grey only with `allow_grey`), E_DIM for strips too large to decode.
    """

    backend = "tifffile"
    background = (255, 255, 255)
    magnification = None
    fluorescence = False
    mislabelled_ycbcr = False

    def __init__(self, path: Path, *, allow_grey: bool) -> None:
        self._name = path.name
        self._cache: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        try:
            self._tiff = tifffile.TiffFile(path)
        except Exception as error:
            raise _damaged(path.name, error) from error
        try:
            series = max(self._tiff.series, key=lambda found: found.keyframe.imagewidth)
            _check_axes(path.name, series, allow_grey)
            self.pages = [level.keyframe for level in series.levels]
            self.vendor = "ome-tiff" if self._tiff.is_ome else "tiff"
            self.sizes = tuple((page.imagelength, page.imagewidth) for page in self.pages)
            self.tile_shapes = tuple(_tile_shape(page) for page in self.pages)
            self.pixel_sizes = self._pixel_sizes()
            _check_pages(path.name, self.pages, self.tile_shapes, path.stat().st_size)
        except Quarantine:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise _damaged(path.name, error) from error

    def read(self, origin_px0: YX, shape_px: YX, level: int) -> np.ndarray:
        """Region as (h, w, 4) uint8 RGBA, alpha 0 where nothing is stored."""
        size, (tile_height, tile_width) = self.sizes[level], self.tile_shapes[level]
        ratios = [side0 / side for side0, side in zip(self.sizes[0], size, strict=True)]
        origin = tuple(round(start / (sum(ratios) / 2)) for start in origin_px0)
        region = np.zeros((*shape_px, 4), np.uint8)
        rows, columns = overlap(origin, shape_px, size)[0]
        for row in range(rows.start // tile_height, -(-rows.stop // tile_height)):
            for column in range(columns.start // tile_width, -(-columns.stop // tile_width)):
                corner = (row * tile_height, column * tile_width)
                tile = self._tile(level, row, column)
                inside, target = overlap(
                    (origin[0] - corner[0], origin[1] - corner[1]), shape_px, tile.shape[:2]
                )
                region[target] = tile[inside]
        return region

    def close(self) -> None:
        self._tiff.close()

    def _pixel_sizes(self) -> list:
        page = self.pages[0]
        x, y = page.get_resolution()
        found = [
            from_ome(self._tiff.ome_metadata, page.imagewidth) if self._tiff.is_ome else None,
            from_resolution(x, y, str(int(page.resolutionunit))),
        ]
        return [size for size in found if size]

    def _tile(self, level: int, row: int, column: int) -> np.ndarray:
        """A stored tile or strip as (h, w, 4) RGBA, from the cache where it is there."""
        columns = -(-self.sizes[level][1] // self.tile_shapes[level][1])
        index = row * columns + column
        if (level, index) in self._cache:
            self._cache.move_to_end((level, index))
            return self._cache[level, index]
        tile = self._decode(self.pages[level], index)
        # Parts of a tile beyond the border of the slide are filler, not pixels.
        height, width = self.sizes[level]
        tile_height, tile_width = self.tile_shapes[level]
        tile = tile[: height - row * tile_height, : width - column * tile_width]
        self._cache[level, index] = tile
        while len(self._cache) > 1 and sum(t.nbytes for t in self._cache.values()) > _CACHE_BYTES:
            self._cache.popitem(last=False)
        return tile

    def _decode(self, page: tifffile.TiffPage, index: int) -> np.ndarray:
        separate = page.planarconfig == 2 and page.samplesperpixel > 1
        planes = page.samplesperpixel if separate else 1
        stride = len(page.dataoffsets) // planes
        parts = [self._segment(page, index + plane * stride) for plane in range(planes)]
        if any(part is None for part in parts):
            return np.zeros((*_tile_shape(page), 4), np.uint8)
        return _rgba(np.concatenate(parts, axis=-1), page.extrasamples)

    def _segment(self, page: tifffile.TiffPage, index: int) -> np.ndarray | None:
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if count == 0:
            return None
        handle = self._tiff.filehandle
        handle.seek(offset)
        data = handle.read(count)
        tables = {"jpegtables": page.jpegtables} if page.compression in _JPEG else {}
        segment = page.decode(data, index, **tables)[0]
        return None if segment is None else segment[0]


def _rgba(pixels: np.ndarray, extrasamples: tuple[int, ...]) -> np.ndarray:
    """Grey, RGB or RGB with a fourth channel as straight RGBA."""
    rgb = pixels[..., :3] if pixels.shape[-1] >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    kind = int(extrasamples[0]) if extrasamples and pixels.shape[-1] == 4 else 0
    if kind not in (_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA):
        return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    alpha = pixels[..., 3:]
    if kind == _ASSOCIATED_ALPHA:
        rgb = np.minimum(rgb * np.float32(255) / np.maximum(alpha, 1), 255).round()
    return np.concatenate([rgb.astype(np.uint8), alpha], axis=-1)


def _tile_shape(page: tifffile.TiffPage) -> tuple[int, int]:
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _check_axes(name: str, series: tifffile.TiffPageSeries, allow_grey: bool) -> None:
    page = series.keyframe
    colour = page.samplesperpixel in (3, 4) and page.photometric in (2, 6)
    grey = page.samplesperpixel == 1 and page.photometric == 1
    if str(page.dtype) != "uint8" or not (colour or (grey and allow_grey)):
        raise Quarantine(
            "E_MODALITY",
            f"{name}: channels: {page.samplesperpixel} of {page.dtype}; 8-bit RGB is needed.",
        )
    stacked = {
        axis: length
        for axis, length in zip(series.axes, series.shape, strict=True)
        if axis not in "YXS" and length > 1
    }
    if stacked:
        found = ", ".join(f"{axis} = {length}" for axis, length in stacked.items())
        raise Quarantine(
            "E_MODALITY" if "C" in stacked else "E_ZSTACK",
            f"{name}: more than one image ({found}).",
        )


def _check_pages(name: str, pages: list, tile_shapes: tuple, size: int) -> None:
    for page, (height, width) in zip(pages, tile_shapes, strict=True):
        if height * width > MAX_FLAT_PX:
            raise Quarantine(
                "E_DIM",
                f"{name}: stored in pieces of {width} x {height} px; convert it to a tiled TIFF.",
            )
        ends = np.add(page.dataoffsets, page.databytecounts, dtype=np.float64)
        if len(ends) == 0 or ends.max() > size:
            raise Quarantine("E_FORMAT", f"{name}: the file ends before its pixels do.")


def _damaged(name: str, error: Exception) -> Quarantine:
    return Quarantine("E_FORMAT", f"{name}: the TIFF is damaged ({type(error).__name__}).")
