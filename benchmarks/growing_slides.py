"""Slides of any size from one block of pixels, for pipeline.py."""

import math
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import tifffile

from workflow.lib.slides.slides import open_reader

MPP, BLOCK_PX, TILE_PX, COARSER = 0.5, 2048, 256, (1, 4, 16)


def read_block(slide: Path) -> np.ndarray:
    """The first pixels of a slide, (BLOCK_PX, BLOCK_PX, 3) uint8."""
    with open_reader(slide, mpp=MPP) as reader:
        if min(reader.height_px0, reader.width_px0) < BLOCK_PX:
            raise SystemExit(f"{slide.name} is smaller than {BLOCK_PX:,} x {BLOCK_PX:,} px")
        return reader.read((0, 0), (BLOCK_PX, BLOCK_PX))


def draw_block() -> np.ndarray:
    """Pink tissue with nuclei on white glass, half of each, (BLOCK_PX, BLOCK_PX, 3) uint8."""
    rng, (y, x) = np.random.default_rng(0), np.ogrid[:BLOCK_PX, :BLOCK_PX]
    middle = BLOCK_PX / 2
    inside = (y - middle) ** 2 + (x - middle) ** 2 < BLOCK_PX**2 / (2 * math.pi)
    nuclei = cv2.GaussianBlur(rng.normal(0, 1, (BLOCK_PX, BLOCK_PX)), (0, 0), 4) > 0.1
    pixels = np.where(inside[..., None], (206, 130, 175), (243, 242, 244))
    pixels = np.where((inside & nuclei)[..., None], (90, 60, 140), pixels)
    return np.clip(pixels + rng.normal(0, 5, pixels.shape), 0, 255).astype(np.uint8)


def write_slide(file: Path, block: np.ndarray, side: int) -> None:
    """The block, repeated to a square slide; tiles repeat too, and are encoded once."""
    with tifffile.TiffWriter(file, bigtiff=True) as tiff:
        for coarser in COARSER:
            part, length = BLOCK_PX // coarser, side // coarser
            small = cv2.resize(block, (part, part), interpolation=cv2.INTER_AREA)
            small = np.tile(small, (max(1, TILE_PX // part), max(1, TILE_PX // part), 1))
            tiles = np.array(np.split(small, len(small) // TILE_PX))  # rows of them
            encoded = [
                [
                    simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality=75)
                    for tile in np.split(row, small.shape[1] // TILE_PX, axis=1)
                ]
                for row in tiles
            ]
            each, count = len(encoded), -(-length // TILE_PX)
            tiff.write(
                (encoded[i // count % each][i % count % each] for i in range(count * count)),
                shape=(length, length, 3),
                dtype=np.uint8,
                photometric="rgb",  # which the JPEGs say they have been
                tile=(TILE_PX, TILE_PX),
                compression="jpeg",
                subsampling=(2, 2),
                resolution=(1e4 / (MPP * coarser), 1e4 / (MPP * coarser)),
                resolutionunit="CENTIMETER",
                subfiletype=int(coarser > 1),
                software=False,
                metadata=None,
            )
