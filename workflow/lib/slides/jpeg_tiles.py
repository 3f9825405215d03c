"""Stored JPEG tiles of a TIFF slide, made into whole JPEGs and decoded by libjpeg-turbo."""

import numpy as np
import simplejpeg
import tifffile

from workflow.lib.slides.images import YX
from workflow.lib.slides.stored_tiles import StoredTiles, tile_columns

_JPEG, _RGB, _YCBCR = 7, 2, 6
# The tile does not say its colours, the TIFF does: an Adobe segment, transform 0 = RGB, 1 = YCbCr.
_ADOBE = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
_SOI, _EOI, _SCAN, _COMMENT = b"\xff\xd8", b"\xff\xd9", 0xDA, 0xFE
_FRAMES = {0xC0, 0xC1, 0xC2}  # baseline, extended, progressive
_ALONE = {*range(0xC0), *range(0xD0, 0xDA), 0xFF}  # no length follows: out of place here


class JpegTiles(StoredTiles):
    """Tiles of JPEG in three colours: RGB, or YCbCr, which is then made RGB."""

    decoder = "libjpeg-turbo"

    def __init__(
        self, descriptor: int, page: tifffile.TiffPage, columns: int, *, ycbcr: bool
    ) -> None:
        super().__init__(descriptor, page, columns)
        colours = b"\x01" if ycbcr else b"\x00"
        tables = (page.jpegtables or _SOI + _EOI)[len(_SOI) : -len(_EOI)]
        self._head = _SOI + tables + _ADOBE + colours
        self._start = self._spliced = b""  # what the last tile began with, and what that became

    def decode(self, index: int, *, half: bool = False) -> np.ndarray | None:
        """A tile (h, w, 3) uint8 RGB, new memory; None where it is not stored, or is damaged.

        `half` makes it half as high and wide from the lower half of its frequencies.
        """
        stream = self.stream(index)
        return None if stream is None else self._pixels(stream, half=half)

    def copy(self, index: int) -> tuple[bytes, np.ndarray] | None:
        """A tile as a JPEG that any decoder opens, and as `decode` gives it; None where that is so.

        Nothing follows the image: what scanners or people wrote behind it is not copied.
        """
        stream = self.stream(index)
        if stream is None:
            return None
        stream = stream[: stream.find(_EOI, len(self._spliced)) + len(_EOI)]
        tile = self._pixels(stream)
        return None if tile is None else (stream, tile)

    def _pixels(self, stream: bytes, *, half: bool = False) -> np.ndarray | None:
        height, width = (side // (1 + half) for side in self.tile)
        tile = np.empty((height, width, 3), np.uint8)
        smaller = {"min_factor": 2, "min_height": height, "min_width": width} if half else {}
        try:
            # Strict: what libjpeg only warns of is damage to OpenSlide, and so it is here.
            found = simplejpeg.decode_jpeg(stream, "RGB", buffer=tile, strict=True, **smaller)
        except ValueError:
            return None
        return tile if found.shape == tile.shape else None

    def stream(self, index: int) -> bytes | None:
        """A tile as a JPEG that any decoder opens; None where there is none."""
        data = self.stored(index)
        if data is None:
            return None
        # Tiles mostly begin alike: that is looked at once.
        if not self._start or not data.startswith(self._start):
            try:
                self._start, self._spliced = splice(data, self._head, self.tile)
            except ValueError:
                return None
        return self._spliced + data[len(self._start) :]


def find_jpegs(
    descriptor: int, page: tifffile.TiffPage, size: YX, tile: YX, *, mislabelled: bool = False
) -> JpegTiles | None:
    """The tiles of a directory, where they are 8-bit JPEG of three colours and cover `size` px.

    The TIFF says whether these are RGB or YCbCr; `mislabelled`, they are the other.
    """
    columns = tile_columns(page, size, tile)
    if columns is None or page.compression != _JPEG or page.photometric not in (_RGB, _YCBCR):
        return None
    ycbcr = (page.photometric == _YCBCR) != mislabelled
    return JpegTiles(descriptor, page, columns, ycbcr=ycbcr)


def splice(data: bytes, head: bytes, tile: YX) -> tuple[bytes, bytes]:
    """What a JPEG has before its scan, and the same after `head`, for any decoder.

    The JPEG of a tile is abbreviated. Its own application segments and comments are left out: the
    TIFF says its colours. Raises ValueError unless it holds three colours of `tile` px.
    """
    if data[:2] != _SOI:
        raise ValueError("these bytes do not begin as a JPEG does")
    parts, at, framed = [head], 2, False
    while len(data) > at + 4 and data[at] == 0xFF and data[at + 1] not in _ALONE:
        kind, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if kind == _SCAN:
            if not framed:
                break
            return data[: at + 2], b"".join([*parts, data[at : at + 2]])
        if kind in _FRAMES:
            # Lengths of the segment, bits, height, width, colours: a TIFF tile has all its rows.
            wanted = (8, *tile[0].to_bytes(2, "big"), *tile[1].to_bytes(2, "big"), 3)
            framed = tuple(data[at + 4 : at + 10]) == wanted
            if not framed:
                raise ValueError(f"the JPEG is not one of {tile[1]} x {tile[0]} px and 3 colours")
        if not (0xE0 <= kind <= 0xEF or kind == _COMMENT):
            parts.append(data[at:end])
        at = end
    raise ValueError("the JPEG has no scan")
