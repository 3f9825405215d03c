"""Plain images (PNG, JPEG, BMP) as slides of one level, decoded whole under a size cap."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from workflow.lib.jobs.verdicts import Quarantine

YX = tuple[int, int]  # row and column, or height and width

# 10,000 x 10,000 px are 300 MB of RGB: more belongs into a tiled file that is read piece by piece.
MAX_FLAT_PX = 100_000_000

FORMATS = ("PNG", "JPEG", "BMP")
_COLOUR_MODES = {"RGB", "RGBA", "P", "PA"}


class ImageFile:
    """A decoded image with the calls of the other slide files.

    Raises Quarantine: E_DIM when the header claims more than the cap (nothing is decoded then),
    E_MODALITY for anything but 8-bit colour (grey only with `allow_grey`), E_FORMAT when damaged.
    """

    backend = "image"
    background = (255, 255, 255)
    magnification = None
    pixel_sizes = ()
    fluorescence = False
    mislabelled_ycbcr = False

    def __init__(self, path: Path, *, allow_grey: bool) -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path, formats=FORMATS) as image:
                    self.vendor = image.format.lower()
                    self._pixels = _decode(path.name, image, allow_grey)
        except Image.DecompressionBombError as error:
            raise _too_large(path.name, str(error)) from error
        except UnidentifiedImageError as error:
            raise Quarantine("E_FORMAT", f"{path.name}: no known slide or image format.") from error
        except (OSError, SyntaxError, ValueError) as error:
            raise Quarantine("E_FORMAT", f"{path.name}: damaged image ({error}).") from error
        self.sizes = (self._pixels.shape[:2],)
        self.tile_shapes = ((512, 512),)

    def read(self, origin_px0: YX, shape_px: YX, level: int) -> np.ndarray:
        """Region as (h, w, 4) uint8 RGBA, alpha 0 outside the image."""
        region = np.zeros((*shape_px, 4), np.uint8)
        inside, target = overlap(origin_px0, shape_px, self.sizes[level])
        found = self._pixels[inside]
        region[target][..., : found.shape[2]] = found
        if found.shape[2] == 3:
            region[target][..., 3] = 255
        return region

    def close(self) -> None:
        self._pixels = self._pixels[:0]


def overlap(origin: YX, shape: YX, size: YX) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where a region meets an image: slices into the image and into the region.

    >>> overlap((-1, 2), (3, 3), (10, 4))
    ((slice(0, 2, None), slice(2, 4, None)), (slice(1, 3, None), slice(0, 2, None)))
    """
    inside, target = [], []
    for start, length, side in zip(origin, shape, size, strict=True):
        first = min(max(start, 0), side)
        last = max(min(start + length, side), first)
        inside.append(slice(first, last))
        target.append(slice(first - start, last - start) if last > first else slice(0, 0))
    return tuple(inside), tuple(target)


def _decode(name: str, image: Image.Image, allow_grey: bool) -> np.ndarray:
    width, height = image.size
    if width * height > MAX_FLAT_PX:
        raise _too_large(name, f"{width} x {height} px")
    if image.mode not in _COLOUR_MODES and not (allow_grey and image.mode == "L"):
        raise Quarantine("E_MODALITY", f"{name}: an image of mode {image.mode}, not 8-bit colour.")
    transparent = image.mode in ("RGBA", "PA") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


def _too_large(name: str, found: str) -> Quarantine:
    return Quarantine(
        "E_DIM",
        f"{name}: {found}, too large for a plain image, which may have {MAX_FLAT_PX} px;"
        " convert it to a tiled TIFF.",
    )
