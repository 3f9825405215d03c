"""What a JPEG has before its scan, as the tiles of a TIFF need it."""

import numpy as np
import pytest
import simplejpeg

from workflow.lib.slides.jpeg_tiles import _ADOBE, splice

HEAD = b"\xff\xd8" + _ADOBE + b"\x01"


def jpeg(height: int = 16, width: int = 32, **options: object) -> bytes:
    pixels = np.full((height, width, 3), (200, 30, 90), np.uint8)
    return simplejpeg.encode_jpeg(pixels, quality=95, **options)


def test_its_application_segments_go_and_its_colours_stay() -> None:
    data = jpeg()
    assert data[6:10] == b"JFIF"
    start, spliced = splice(data, HEAD, (16, 32))
    assert start.endswith(b"\xff\xda") and data.startswith(start)
    assert spliced.startswith(HEAD) and b"JFIF" not in spliced
    found = simplejpeg.decode_jpeg(spliced + data[len(start) :])
    assert abs(found.astype(int) - (200, 30, 90)).max() <= 3


def test_the_segment_decides_whether_numbers_are_rgb() -> None:
    data = jpeg()
    start, spliced = splice(data, HEAD[:-1] + b"\x00", (16, 32))
    found = simplejpeg.decode_jpeg(spliced + data[len(start) :])
    # Y, Cb, Cr of (200, 30, 90): 0.299 R + 0.587 G + 0.114 B, and 128 + the differences, scaled
    assert abs(found[0, 0].astype(int) - (88, 129, 208)).max() <= 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\0" * 40, "do not begin"),
        (b"", "do not begin"),
        (jpeg()[:40], "no scan"),
        (jpeg(16, 16), "not one of 32 x 16 px"),
        (jpeg(32, 16), "not one of 32 x 16 px"),
        (simplejpeg.encode_jpeg(np.zeros((16, 32, 1), np.uint8), colorspace="GRAY"), "3 colours"),
        (jpeg()[:20] + b"\xff\xff" + jpeg()[20:], "no scan"),  # a marker without a length
        (b"\xff\xd8\xff\xda" + bytes(8), "no scan"),  # a scan of nothing
    ],
)
def test_other_bytes_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        splice(data, HEAD, (16, 32))
