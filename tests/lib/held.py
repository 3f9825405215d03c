"""Tiles in memory that read like a store of them."""

import numpy as np


class HeldTiles:
    """As much of a tile store as a bag needs: pixels (N, t, t, 3) uint8, and which are bad."""

    def __init__(self, tiles, bad=()):
        self.tiles, self.bad = tiles, np.isin(np.arange(len(tiles)), bad)

    @property
    def tile_shape(self):
        return self.tiles.shape[1:]

    def read(self, index, into):
        into[...] = self.tiles[index]

    def batch(self, indices):
        return self.tiles[np.asarray(indices, dtype=int)]
