"""Tile stores to measure with, drawn and not cut from a slide."""

from pathlib import Path

import cv2
import numpy as np
import zarr

from workflow.lib.tiles.stores import create_tiles, write_rows


def draw_store(
    path: Path, rng: np.random.Generator, *, tile_px: int, count: int, codec: str
) -> zarr.Group:
    """A store of `count` tiles: smooth stains, and grains as of a scanner."""

    def draw() -> np.ndarray:
        coarse = rng.integers(60, 230, (tile_px // 16, tile_px // 16, 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (tile_px, tile_px), interpolation=cv2.INTER_CUBIC)
        return cv2.add(smooth, rng.integers(0, 16, smooth.shape, dtype=np.uint8))

    pixels = (draw() for _ in range(count))
    group = create_tiles(path, pixels, count=count, tile_px=tile_px, codec=codec, quality=90)
    for name in ("origins", "positions_px"):
        write_rows(group, name, np.zeros((count, 2), np.int64))
    for name in ("tissue", "blur", "bad"):
        write_rows(group, name, np.zeros(count, np.float32))
    return group
