"""Write pixels as the plainest slide file there is: a tiled, pyramidal TIFF."""

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import tifffile


def write_slide(
    path: Path,
    pixels: np.ndarray,
    *,
    mpp: float | None,
    tile_px: int = 256,
    pyramid: bool = True,
    compression: str | None = "jpeg",
    quality: int = 85,
    subsampling: tuple[int, int] = (2, 2),
) -> None:
    """Write `pixels` as a tiled TIFF that OpenSlide opens as `generic-tiff`.

    The levels are plain directories, each half the one before, down to one tile: OpenSlide does
    not see levels in SubIFDs. JPEG tiles are YCbCr, converted by the codec from the RGB it is told
    it gets. The same pixels give the same bytes. The file appears under its name only whole.

    Args:
        path: the file to write; its folder is made if need be.
        pixels: (height, width, 3) uint8, RGB, level 0.
        mpp: micrometres per pixel, written as resolution tags; None writes none.
        tile_px: side of the tiles, a multiple of 16.
        pyramid: False writes level 0 only.
        compression: "jpeg", or None for uncompressed, lossless tiles.
        quality: of the JPEG, 1 to 100.
        subsampling: of the JPEG's colours: (2, 2) is 4:2:0, (1, 1) is 4:4:4.

    Raises:
        ValueError: `pixels` is not an RGB image, or `compression` is none of the two.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
        raise ValueError(
            f"{path.name}: pixels are {pixels.shape} {pixels.dtype}; give (height, width, 3) uint8"
        )
    if compression not in ("jpeg", None):
        raise ValueError(f"{path.name}: compression is {compression!r}; give 'jpeg' or None")

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with tifffile.TiffWriter(part) as file:
            level, level_mpp, reduced = pixels, mpp, 0
            while True:
                file.write(
                    tiles_of(level, tile_px),
                    shape=level.shape,
                    dtype=level.dtype,
                    # "rgb" names what comes in: with "ycbcr" here, the pixels would be stored
                    # as they are under the name YCbCr, and every reader would show wrong colours.
                    photometric="rgb",
                    tile=(tile_px, tile_px),
                    compression=compression,
                    subsampling=subsampling if compression else None,
                    compressionargs={"level": quality} if compression else None,
                    resolution=(1e4 / level_mpp, 1e4 / level_mpp) if level_mpp else None,
                    resolutionunit="CENTIMETER" if level_mpp else "NONE",
                    subfiletype=reduced,
                    software=False,
                    metadata=None,
                )
                if not pyramid or max(level.shape[:2]) <= tile_px:
                    break
                level = halve(level)
                level_mpp, reduced = level_mpp and 2 * level_mpp, 1
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def tiles_of(pixels: np.ndarray, tile_px: int) -> Iterator[np.ndarray]:
    """The tiles of an image (height, width, 3), row by row, each (tile_px, tile_px, 3).

    Those that stick out repeat the last pixels: a sudden black there would ring in the JPEG.
    """
    height, width = pixels.shape[:2]
    for top in range(0, height, tile_px):
        for left in range(0, width, tile_px):
            tile = pixels[top : top + tile_px, left : left + tile_px]
            below, beside = tile_px - tile.shape[0], tile_px - tile.shape[1]
            yield np.pad(tile, ((0, below), (0, beside), (0, 0)), mode="edge")


def halve(pixels: np.ndarray) -> np.ndarray:
    """Half of an image (height, width, 3) in each direction, by area; odd sides round up."""
    height, width = pixels.shape[:2]
    size = ((width + 1) // 2, (height + 1) // 2)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
