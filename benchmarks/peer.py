"""What tools for slides commonly do from a slide to its features: OpenSlide, PIL, torchvision, h5.

A plain loop of one process, as such tools run it where there is one core: a tile is read by
`read_region`, converted and resized by PIL, normalised by torchvision, encoded in float32 by the
network as it comes, and its features are written to a file of HDF5. It is given the places of the
tiles, so that finding tissue costs it nothing, and keeps no pixels.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import openslide
import torch
from torchvision.transforms import v2

from workflow.lib.networks.encoders import Encoder


def encode_slide(
    slide: Path, origins: np.ndarray, encoder: Encoder, *, tile_px: int, side_px0: int, batch: int
) -> Iterator[np.ndarray]:
    """Features (B, D) float32 of tiles of `side_px0` level-0 px at `origins` (N, 2), (y, x).

    A tile is read from the level that OpenSlide finds best for it, and resized to `tile_px`.
    """
    transform = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
    with openslide.OpenSlide(slide) as opened, torch.inference_mode():
        level = opened.get_best_level_for_downsample(side_px0 / tile_px)
        side = round(side_px0 / opened.level_downsamples[level])
        for start in range(0, len(origins), batch):
            tiles = []
            for y, x in origins[start : start + batch].tolist():
                tile = opened.read_region((x, y), level, (side, side)).convert("RGB")
                if side != tile_px:
                    tile = tile.resize((tile_px, tile_px))
                tiles.append(transform(tile))
            yield encoder(torch.stack(tiles)).numpy()  # it normalises itself


def write_features(file: Path, blocks: Iterator[np.ndarray], count: int) -> None:
    """Write consecutive blocks (B, D) float32 of `count` rows, each as it comes."""
    with h5py.File(file, "w") as written:
        start = 0
        for block in blocks:
            if not start:
                shape, chunks = (count, block.shape[1]), (len(block), block.shape[1])
                rows = written.create_dataset("features", shape, "float32", chunks=chunks)
            rows[start : start + len(block)] = block
            start += len(block)
