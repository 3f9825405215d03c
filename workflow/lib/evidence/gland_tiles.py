"""The gland map of a slide (glands.py), cut into its tiles."""

from pathlib import Path

import numpy as np
import torch

from workflow.lib.tiles.stores import Tiles, open_group


class GlandTiles:
    """The gland map in the unit of map_glands, cut into the tiles of its slide.

    shape: (h, w) in cells of a tile. A call with `rows` gives their maps (B, h, w) float32 in 0..1.
    """

    def __init__(self, unit: Path, store: Tiles) -> None:
        group = open_group(unit / "glands.zarr")
        self.cells, self.cell_px = group["glands"], group.attrs["cell_px"]
        self.shape = (store.attrs["tile_px"] // self.cell_px,) * 2
        self.positions_px = store.positions_px

    def __call__(self, rows: slice) -> torch.Tensor:
        tiles = [self._cut(*position) for position in self.positions_px[rows].tolist()]
        return torch.from_numpy(np.stack(tiles))

    def _cut(self, top_px: int, left_px: int) -> np.ndarray:
        """Between the cells of the map where the corner of the tile is no multiple of theirs."""
        (y, below), (x, beside) = (divmod(at, self.cell_px) for at in (top_px, left_px))
        side = self.shape[0] + 1
        found = self.cells[y : y + side, x : x + side].astype(np.float32)
        found = np.pad(found, [(0, side - length) for length in found.shape], mode="edge")
        below, beside = below / self.cell_px, beside / self.cell_px
        found = (1 - below) * found[:-1] + below * found[1:]
        return (1 - beside) * found[:, :-1] + beside * found[:, 1:]
