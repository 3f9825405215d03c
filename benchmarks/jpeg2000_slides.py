"""Slides of JPEG 2000 tiles, as Aperio scanners write them."""

from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile

from workflow.lib.slides.slides import open_reader

YCBCR, RGB = 33003, 33005  # Aperio's compressions


def write_jpeg2000(
    slide: Path, pixels: np.ndarray, *, tile_px: int, compression: int, level: float = 34
) -> Path:
    """One level of `pixels` (h, w, 3) uint8 at 0.5 um per px; `level` is a PSNR in dB, 0 lossless.

    YCbCr is not subsampled: imagecodecs writes no such tiles.
    """
    height, width = pixels.shape[:2]
    lower, right = (-side % tile_px for side in (height, width))
    padded = np.pad(pixels, ((0, lower), (0, right), (0, 0)), mode="edge")
    if compression == YCBCR:
        padded = cv2.cvtColor(padded, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    tiles = (
        imagecodecs.jpeg2k_encode(
            np.ascontiguousarray(padded[y : y + tile_px, x : x + tile_px]),
            level=level,
            codecformat="j2k",
            reversible=level == 0,
            mct=compression == RGB,
            resolutions=6,
        )
        for y in range(0, height, tile_px)
        for x in range(0, width, tile_px)
    )
    tifffile.imwrite(
        slide,
        tiles,
        shape=pixels.shape,
        dtype="uint8",
        tile=(tile_px, tile_px),
        photometric="rgb",
        compression=compression,
        description=f"Aperio Image Library v11\n{width}x{height} J2K|AppMag = 20|MPP = 0.5",
        metadata=None,
        software=False,
    )
    return slide


def rewrite(slide: Path, folder: Path, *, compression: int) -> Path:
    """The first level of a slide in JPEG 2000 tiles of 256 px, as a file in `folder`."""
    with open_reader(slide, mpp=1.0) as reader:
        pixels = reader.read((0, 0), (reader.height_px0, reader.width_px0))
    return write_jpeg2000(folder / "slide.svs", pixels, tile_px=256, compression=compression)
