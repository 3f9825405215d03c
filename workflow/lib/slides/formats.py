"""Which library opens a slide file: by its content, not by its name."""

import os
from pathlib import Path

from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.images import ImageFile
from workflow.lib.slides.openslides import OpenSlideFile, understands
from workflow.lib.slides.tiff_headers import MAGIC, TiffHeader, is_whole, read_header
from workflow.lib.slides.tiffs import TiffFile

SlideFile = OpenSlideFile | TiffFile | ImageFile

_IMAGE_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM")
_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ""}
_STACKABLE = {"generic-tiff", "aperio"}  # elsewhere equal pages are regions of the glass


def open_file(
    path: Path, mpp: float | None, max_side_px0: int | None, allow_fluorescence: bool
) -> SlideFile:
    """Open a file with the library that shows it rightly.

    `mpp` is what the sheet says: a plain image that calls itself a slide needs it. Raises
    Quarantine: E_IO, E_EMPTY, E_FORMAT, E_COMPANION, E_DIM, E_ZSTACK, E_MODALITY.
    """
    head = _head(path)
    header = None
    if head[:4] in MAGIC and (header := read_header(path)):
        check_size(path.name, header.width_px, header.height_px, max_side_px0)
    vendor = understands(path)
    if head[:4] in MAGIC and vendor in (None, "generic-tiff") and not is_whole(path):
        raise Quarantine("E_FORMAT", f"{path.name}: the file is cut short or damaged.")
    if vendor and not (vendor == "generic-tiff" and header and header.is_ome):
        if header:
            _check_header(path.name, header, vendor, allow_fluorescence)
        return OpenSlideFile(path)
    if path.suffix.lower() == ".mrxs":
        raise _without_folder(path)
    if head[:4] in MAGIC:
        return TiffFile(path, allow_grey=allow_fluorescence)
    if head.startswith(_IMAGE_MAGIC):
        if mpp is None and path.suffix.lower() not in _IMAGE_SUFFIXES:
            raise Quarantine("E_FORMAT", f"{path.name}: a plain image, not the slide of its name.")
        return ImageFile(path, allow_grey=allow_fluorescence)
    raise Quarantine("E_FORMAT", f"{path.name}: no known slide or image format.")


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except IsADirectoryError as error:
        raise Quarantine("E_FORMAT", f"{path.name}: a folder, not a slide file.") from error
    except OSError as error:
        reason = os.strerror(error.errno or 5)
        raise Quarantine("E_IO", f"{path.name}: the file cannot be read ({reason}).") from error
    if not head:
        raise Quarantine("E_EMPTY", f"{path.name}: the file is empty (0 bytes).")
    return head


def check_size(name: str, width: int, height: int, max_side_px0: int | None) -> None:
    """Refuse sizes that no slide has before anything of that size is made."""
    if min(width, height) < 1 or (max_side_px0 and max(width, height) > max_side_px0):
        limit = f" to {max_side_px0}" if max_side_px0 else " or more"
        raise Quarantine(
            "E_DIM", f"{name}: it claims {width} x {height} px; a side may have 1{limit} px."
        )


def _check_header(name: str, header: TiffHeader, vendor: str, allow_fluorescence: bool) -> None:
    """Refuse what OpenSlide would open and show wrongly: one channel or plane of several."""
    if vendor in _STACKABLE:
        grey = allow_fluorescence and header.samples == 1
        if header.dtype != "uint8" or not (header.samples in (3, 4) or grey):
            raise Quarantine(
                "E_MODALITY",
                f"{name}: channels: {header.samples} of {header.dtype}; 8-bit RGB is needed.",
            )
        if header.planes > 1:
            raise Quarantine("E_ZSTACK", f"{name}: {header.planes} images of the same size.")
    if header.focal_planes > 1:
        raise Quarantine("E_ZSTACK", f"{name}: {header.focal_planes} focal planes.")


def _without_folder(path: Path) -> Quarantine:
    if (path.with_suffix("") / "Slidedat.ini").is_file():
        return Quarantine("E_FORMAT", f"{path.name}: the MIRAX slide does not open.")
    return Quarantine(
        "E_COMPANION", f"{path.name}: the folder {path.stem} with Slidedat.ini is not beside it."
    )
