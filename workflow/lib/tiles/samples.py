"""Tiles drawn from all slides of a fold, with what is known of each: features, cluster, place."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from workflow.lib.jobs.units import manifest, usable
from workflow.lib.tiles.rows import draw
from workflow.lib.tiles.stores import Tiles, open_group

BLOCK = 1 << 14  # features read at once


@dataclass(frozen=True)
class Sample:
    """M readable tiles, by slide and row.

    slides: names; slide: (M,) int, index into them; row: (M,) int, of the tile in its store
    cluster: (M,) int in 0 .. k - 1; features: (M, D) float32; corners: (M, 2) int, store px
    total: readable tiles that they were drawn from; tile_px: side of a tile, 0 without one
    """

    slides: Sequence[str]
    stores: Sequence[Tiles]
    slide: np.ndarray
    row: np.ndarray
    cluster: np.ndarray
    features: np.ndarray
    corners: np.ndarray
    total: int
    k: int
    tile_px: int

    def __len__(self) -> int:
        return len(self.row)

    def pixels(self, indices: Sequence[int]) -> list[np.ndarray]:
        """Tiles (t, t, 3) uint8, in the order of `indices`."""
        return [self.stores[self.slide[i]].pixels(self.row[i]) for i in indices]


def draw_sample(
    tiles: Path,
    features: Path,
    assignments: Path,
    slides: Collection[str],
    *,
    number: int,
    seed: int,
) -> Sample:
    """Up to `number` readable tiles of `slides`, each with the same chance.

    tiles, features, assignments: stage folders with a unit per slide. Quarantined slides have none.
    """
    names = usable(assignments, slides)
    stores = [Tiles(tiles / name / "tiles.zarr") for name in names]
    groups = [open_group(assignments / name / "assignments.zarr") for name in names]
    good = [~store.bad for store in stores]
    rows = [np.flatnonzero(part) for part in draw(good, number, seed=seed)]
    found = [np.zeros((0, 0), np.float32)] * (not names)
    for name, part in zip(names, rows, strict=True):
        found += _read(open_group(features / name / "features.zarr")["features"], part)
    return Sample(
        slides=names,
        stores=stores,
        slide=np.repeat(np.arange(len(names)), [len(part) for part in rows]),
        row=np.concatenate([np.zeros(0, int), *rows]),
        cluster=_of(rows, [group["assignments"][:] for group in groups], np.zeros(0, int)),
        features=np.concatenate(found),
        corners=_of(rows, [store.positions_px for store in stores], np.zeros((0, 2), int)),
        total=sum(int(part.sum()) for part in good),
        k=manifest(assignments / names[0])["facts"]["k"] if names else 0,
        tile_px=stores[0].attrs["tile_px"] if stores else 0,
    )


def _of(
    rows: Sequence[np.ndarray], arrays: Sequence[np.ndarray], nothing: np.ndarray
) -> np.ndarray:
    """The rows of every slide's array, one slide after the other."""
    found = (array[part] for array, part in zip(arrays, rows, strict=True))
    return np.concatenate([nothing, *found])


def _read(array: zarr.Array, rows: np.ndarray) -> list[np.ndarray]:
    """Rows of an array, in parts: it is read in blocks, so that one slide's features fit."""
    found = [np.zeros((0, array.shape[1]), np.float32)]
    for start in range(0, array.shape[0], BLOCK):
        inside = rows[(rows >= start) & (rows < start + BLOCK)]
        if len(inside):
            found.append(array[start : start + BLOCK][inside - start])
    return found
