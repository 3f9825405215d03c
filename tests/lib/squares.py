"""Tiles in which a red square lies where the evidence is."""

import numpy as np
import torch

from tests.lib.held import HeldTiles
from workflow.lib.evidence.cams import upsample

SIDE = 32


class Store(HeldTiles):
    """Tiles in memory; a red square lies where the evidence is."""

    def __init__(self, count, bad=(), red=True, seed=0):
        rng = np.random.default_rng(seed)
        self.corners = rng.integers(0, 2, size=(count, 2)) * (SIDE // 2)
        tiles = rng.integers(150, 180, size=(count, SIDE, SIDE, 3), dtype=np.uint8)
        super().__init__(tiles, bad)
        for tile, (y, x) in zip(self.tiles, self.corners, strict=True):
            if red:
                tile[y : y + SIDE // 2, x : x + SIDE // 2] = (220, 30, 30)

    def evidence(self):
        cams = torch.zeros(len(self.tiles), 4, 4)
        for cam, (y, x) in zip(cams, self.corners // 8, strict=True):
            cam[y : y + 2, x : x + 2] = 1.0
        return cams

    def squares(self):
        """(N, SIDE, SIDE) uint8, 1 in the square."""
        found = np.zeros(self.tiles.shape[:3], np.uint8)
        for tile, (y, x) in zip(found, self.corners, strict=True):
            tile[y : y + SIDE // 2, x : x + SIDE // 2] = 1
        return found

    def masks(self):
        return (upsample(self.evidence(), SIDE) > 0.5).numpy().astype(np.uint8)
