"""Which levels of a TIFF slide may be decoded past the library that opened it, its judge.

Those that look as the judge shows them: OpenSlide, or tifffile where OpenSlide sees no levels.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import tifffile

from workflow.lib.slides.jpeg2000_tiles import Jpeg2000Tiles, find_jpegs2000
from workflow.lib.slides.jpeg_tiles import JpegTiles, find_jpegs
from workflow.lib.slides.openslides import OpenSlideFile
from workflow.lib.slides.resampling import halve
from workflow.lib.slides.stored_tiles import StoredTiles
from workflow.lib.slides.tiffs import TiffFile

_FINDERS = [find_jpegs, find_jpegs2000]
# OME-TIFF may say RGB where a JFIF segment of the tile says YCbCr: tifffile believes the tile.
_MISLABELLED = partial(find_jpegs, mislabelled=True)


def agreeing_levels(
    path: Path, descriptor: int, judge: OpenSlideFile | TiffFile
) -> dict[int, JpegTiles | Jpeg2000Tiles]:
    """The tiles of each level that stores them, where some are what the judge shows there.

    They are read from `descriptor`. Damage raises whatever tifffile raises.
    """
    if isinstance(judge, TiffFile):
        stored = _stored(judge.pages, descriptor, judge, [*_FINDERS, _MISLABELLED])
    else:
        with tifffile.TiffFile(path) as tiff:
            stored = _stored(list(tiff.pages), descriptor, judge, _FINDERS)
    found = {}
    for level, tiles in stored:
        if level not in found and _agree(tiles, level, judge):
            found[level] = tiles
    return found


def _stored(
    pages: list[tifffile.TiffPage],
    descriptor: int,
    judge: OpenSlideFile | TiffFile,
    finders: list[Callable],
) -> list[tuple[int, JpegTiles | Jpeg2000Tiles]]:
    """Levels, and what their tiles may be, the likely first."""
    found = []
    for level, (size, tile) in enumerate(zip(judge.sizes, judge.tile_shapes, strict=True)):
        step = max(judge.sizes[0][0] // size[0], 1)
        if judge.sizes[0] != (step * size[0], step * size[1]):
            continue  # OpenSlide blends nearly everywhere
        whole = tuple(side + -side % length for side, length in zip(size, tile, strict=True))
        # Sizes tell levels apart; where they do not, nobody but the judge knows.
        tiled = [page for page in pages if page.is_tiled]
        fits = [page for page in tiled if (page.imagelength, page.imagewidth) == size]
        if not fits and judge.vendor == "philips":  # cropped: the directory has whole tiles
            fits = [page for page in tiled if (page.imagelength, page.imagewidth) == whole]
        if len(fits) == 1:
            kinds = [find(descriptor, fits[0], size, tile) for find in finders]
            found += [(level, tiles) for tiles in kinds if tiles]
    return found


def _agree(tiles: JpegTiles | Jpeg2000Tiles, level: int, judge: OpenSlideFile | TiffFile) -> bool:
    """Whether tiles look as the judge shows them."""
    found = [_agrees(tiles, index, level, judge) for index in _chosen(tiles)]
    return True in found and False not in found


def _chosen(tiles: StoredTiles) -> list[int]:
    """Up to three stored tiles: those of most bytes have most to compare."""
    order = np.argsort(tiles.counts, kind="stable")
    stored = order[tiles.counts[order] > 0]
    places = {(len(stored) - 1) * i // 4 for i in (2, 3, 4)} if len(stored) else ()
    return [int(stored[place]) for place in sorted(places)]


def nearness(tiles: JpegTiles) -> float:
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


def _agrees(
    tiles: JpegTiles | Jpeg2000Tiles, index: int, level: int, judge: OpenSlideFile
) -> bool | None:
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
