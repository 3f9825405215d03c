"""Stored JPEG 2000 tiles of an Aperio slide, decoded by OpenJPEG."""

import cv2
import imagecodecs
import numpy as np
import tifffile

from workflow.lib.slides.images import YX
from workflow.lib.slides.stored_tiles import StoredTiles, tile_columns

_YCBCR, _RGB = 33003, 33005  # Aperio's compressions; other fields do not tell the colours
_SOC, _SIZ = b"\xff\x4f", b"\xff\x51\0\x2f"  # a bare codestream, and the size of 3 colours

# JFIF's chroma to what is added to luma, rounded once: the numbers of OpenSlide for every pair.
_CHROMA = np.arange(256, dtype=np.int32) - 128
_RED = ((91881 * _CHROMA + 32768) >> 16).astype(np.int16)
_BLUE = ((116130 * _CHROMA + 32768) >> 16).astype(np.int16)
_GREEN_BITS = 20
_GREEN_CB = -360857 * _CHROMA
_GREEN_CR = -748830 * _CHROMA + (1 << 19) + 6  # 6: ties go up, as those of the decimals do


class Jpeg2000Tiles(StoredTiles):
    """Tiles of JPEG 2000 in three colours."""

    decoder = "OpenJPEG"

    def __init__(self, descriptor: int, page: tifffile.TiffPage, columns: int) -> None:
        super().__init__(descriptor, page, columns)
        self._ycbcr = page.compression == _YCBCR
        # As many px as the tile has, from its corner on, and three colours of 8 bits at each.
        height, width = (side.to_bytes(4, "big") for side in self.tile)
        self._extent, self._colours = width + height + bytes(8), b"\0\3" + b"\7\1\1" * 3

    def decode(self, index: int) -> np.ndarray | None:
        """A tile (h, w, 3) uint8 RGB, new memory; None where it is not stored, or is damaged."""
        data = self.stored(index)
        if data is None or not self._fits(data):
            return None
        try:
            tile = imagecodecs.jpeg2k_decode(data, planar=self._ycbcr, numthreads=1)
        except (RuntimeError, ValueError):
            return None
        return to_rgb(tile) if self._ycbcr else tile

    def _fits(self, data: bytes) -> bool:
        """Whether a codestream says that it holds a tile, before anything of that size is made."""
        begins = data.startswith(_SOC + _SIZ)
        return begins and data[8:24] == self._extent and data[40:51] == self._colours


def find_jpegs2000(
    descriptor: int, page: tifffile.TiffPage, size: YX, tile: YX
) -> Jpeg2000Tiles | None:
    """The tiles of a directory, where they are Aperio's JPEG 2000 and cover `size` px."""
    columns = tile_columns(page, size, tile)
    if columns is None or page.compression not in (_YCBCR, _RGB):
        return None
    return Jpeg2000Tiles(descriptor, page, columns)


def to_rgb(ycbcr: np.ndarray) -> np.ndarray:
    """Luma, Cb and Cr (3, h, w) uint8 as RGB (h, w, 3)."""
    luma, cb, cr = ycbcr
    green = cv2.LUT(cb, _GREEN_CB)
    green += cv2.LUT(cr, _GREEN_CR)
    green >>= _GREEN_BITS
    chroma = (cv2.LUT(cr, _RED), green.astype(np.int16), cv2.LUT(cb, _BLUE))
    return cv2.merge([cv2.add(luma, each, dtype=cv2.CV_8U) for each in chroma])
