"""Slide files that OpenSlide reads, behind the few calls that slides.py needs.

OpenSlide(path) and never its convenience opener: that one hands a damaged slide to an image
library, which shows a preview or a truncated picture and no error.
"""

import re
from pathlib import Path

import cv2
import numpy as np
import openslide

from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.images import YX
from workflow.lib.slides.pixel_sizes import PixelSize, from_resolution, number

_EPIFLUORESCENCE = "111743"  # DICOM code of the illumination type
_JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_PIXEL_DATA = b"\xe0\x7f\x10\x00OB\x00\x00\xff\xff\xff\xff"  # tag (7FE0,0010), encapsulated
_UNREADABLE = re.compile("permission denied|input/output error|stale file", re.IGNORECASE)
_MISSING = re.compile("no such file|not found|couldn't open|can't open", re.IGNORECASE)


class OpenSlideFile:
    """One open slide. `sizes` are (height, width) of each level, `tile_shapes` the stored tiles.

    After one unreadable tile an OpenSlide handle answers nothing any more, so a failed read closes
    it and the next read opens a fresh one.
    """

    backend = "openslide"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._slide: openslide.OpenSlide | None = _open(path)
        properties = self._slide.properties
        self.vendor = properties[openslide.PROPERTY_NAME_VENDOR]
        self.sizes = tuple((height, width) for width, height in self._slide.level_dimensions)
        self.tile_shapes = tuple(
            (
                int(properties.get(f"openslide.level[{level}].tile-height", 512)),
                int(properties.get(f"openslide.level[{level}].tile-width", 512)),
            )
            for level in range(len(self.sizes))
        )
        colour = properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, "FFFFFF")
        self.background = tuple(bytes.fromhex(colour))
        self.magnification = number(properties.get(openslide.PROPERTY_NAME_OBJECTIVE_POWER))
        self.pixel_sizes = _pixel_sizes(properties, self.vendor)
        self.fluorescence = any(
            value == _EPIFLUORESCENCE and "IlluminationTypeCode" in key
            for key, value in properties.items()
        )
        self.mislabelled_ycbcr = _mislabelled_ycbcr(path, properties)

    def read(self, origin_px0: YX, shape_px: YX, level: int) -> np.ndarray:
        """Region as (h, w, 4) uint8 RGBA, alpha 0 where nothing is stored."""
        (y, x), (height, width) = origin_px0, shape_px
        self._slide = self._slide or _open(self._path)
        try:
            rgba = np.asarray(self._slide.read_region((x, y), level, (width, height)))
        except openslide.OpenSlideError:
            self.close()
            raise
        if self.mislabelled_ycbcr:
            rgb = cv2.cvtColor(rgba[..., [0, 2, 1]], cv2.COLOR_YCrCb2RGB)
            rgba = np.dstack([rgb, rgba[..., 3]])
        return rgba

    def close(self) -> None:
        if self._slide:
            self._slide.close()
        self._slide = None


def understands(path: Path) -> str | None:
    """The vendor whose format OpenSlide sees in the file; None when it would refuse it."""
    try:
        return openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError:
        return None


def _open(path: Path) -> openslide.OpenSlide:
    try:
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        reason = str(error).replace(str(path), path.name).replace(f"{path.parent}/", "")
        if _UNREADABLE.search(reason):
            code = "E_IO"
        else:
            code = "E_COMPANION" if _MISSING.search(reason) else "E_FORMAT"
        raise Quarantine(code, f"{path.name}: the slide does not open ({reason}).") from error
    return slide


def _pixel_sizes(properties: dict[str, str], vendor: str) -> list[PixelSize]:
    """What the vendor's keys say, then the TIFF resolution tags."""
    found = []
    x, y = (number(properties.get(f"openslide.mpp-{axis}")) for axis in "xy")
    generic = vendor == "generic-tiff"
    if x is not None and y is not None:
        source = "tiff tags" if generic else vendor
        found.append(PixelSize(x, y, source, fallback=generic))
    elif tags := from_resolution(
        number(properties.get("tiff.XResolution")),
        number(properties.get("tiff.YResolution")),
        properties.get("tiff.ResolutionUnit", ""),
    ):
        found.append(tags)
    return found


def _mislabelled_ycbcr(path: Path, properties: dict[str, str]) -> bool:
    """Whether a DICOM slide says RGB while its JPEG frames hold YCbCr.

    OpenSlide believes the label, and glass comes out pink. A frame with a JFIF header or with
    subsampled colour is YCbCr by the JPEG standard, whatever the label says.
    """
    if (
        properties.get("dicom.PhotometricInterpretation") != "RGB"
        or properties.get("dicom.TransferSyntaxUID") != _JPEG_BASELINE
    ):
        return False
    with path.open("rb") as stream:
        # The header and the offset table come first: the whole file is never needed.
        head = stream.read(16 << 20)
    frame = head[max(head.find(_PIXEL_DATA), 0) :]
    frame = frame[max(frame.find(b"\xff\xd8\xff"), 0) :]
    if frame[2:4] == b"\xff\xe0" and frame[6:10] == b"JFIF":
        return True
    start = frame.find(b"\xff\xc0")
    return start >= 0 and frame[start + 11 : start + 12] != b"\x11"
