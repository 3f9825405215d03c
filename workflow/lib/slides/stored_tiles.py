"""The stored tiles of one level of a TIFF slide: where they lie in the file, and their bytes."""

import os

import numpy as np
import tifffile

from workflow.lib.slides.images import YX

_CONTIGUOUS = 1


class StoredTiles:
    """Tiles of `tile` (height, width) px in rows of `columns`, read from an open file.

    Offsets and counts (N,) are arrays, 16 bytes a tile: a slide may have millions. It reads with
    pread, so that the file has no place that others move. Kinds of tiles decode what it reads.
    """

    decoder = ""  # the library that decodes them

    def __init__(self, descriptor: int, page: tifffile.TiffPage, columns: int) -> None:
        self._descriptor = descriptor
        self._offsets = np.array(page.dataoffsets, np.int64)
        self.counts = np.array(page.databytecounts, np.int64)
        self.columns = columns
        self.tile: YX = (page.tilelength, page.tilewidth)
        self._most = 6 * self.tile[0] * self.tile[1] + (1 << 16)  # bytes; no tile takes more

    def stored(self, index: int) -> bytes | None:
        """The bytes of a tile as they are in the file; None where there are none."""
        count = int(self.counts[index])
        if not 0 < count <= self._most:
            return None
        try:
            data = os.pread(self._descriptor, count, int(self._offsets[index]))
        except (OSError, OverflowError, ValueError):
            return None
        return data if len(data) == count else None


def tile_columns(page: tifffile.TiffPage, size: YX, tile: YX) -> int | None:
    """How many tiles of 8-bit colour a row of a directory has; None unless they cover `size` px."""
    rows, columns = (-(-side // length) for side, length in zip(size, tile, strict=True))
    if (
        (page.tilelength, page.tilewidth) != tile
        or page.planarconfig != _CONTIGUOUS
        or (page.samplesperpixel, page.bitspersample) != (3, 8)
        or not len(page.dataoffsets) == len(page.databytecounts) == rows * columns
    ):
        return None
    return columns
