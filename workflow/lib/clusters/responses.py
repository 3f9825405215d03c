"""What the channels of a feature map respond to: in which tiles most, and where in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from workflow.lib.clusters.networks import Network
from workflow.lib.tiles.inference import infer

FLAT = 1e-6  # variance between tiles, as a share of the largest: below it a channel is dead


@dataclass(frozen=True)
class Responses:
    """The strongest response of each of C channels to each of M tiles, and where it is.

    layer: name of the feature map; shape: its (h, w)
    value: (M, C) float32; place: (M, C) int64, index into the map, row by row
    """

    layer: str
    shape: tuple[int, int]
    value: np.ndarray
    place: np.ndarray

    def box(self, tile: int, channel: int) -> tuple[float, float, float, float]:
        """Where the response is: y0, x0, y1, x1 of that cell of the map, as shares of the tile.

        The channel has seen more of the tile than its cell covers.
        """
        (height, width), (y, x) = self.shape, divmod(int(self.place[tile, channel]), self.shape[1])
        return y / height, x / width, (y + 1) / height, (x + 1) / width

    def liveliest(self, count: int) -> list[int]:
        """Up to `count` channels whose value varies most between tiles; none that is the same."""
        if not len(self.value):
            return []
        variance = self.value.astype(np.float64).var(axis=0)
        order = np.argsort(-variance, kind="stable")[:count]
        return [int(c) for c in order if variance[c] > FLAT * max(variance.max(), FLAT)]


def measure_responses(
    network: Network,
    read: Callable[[Sequence[int]], np.ndarray],
    count: int,
    *,
    batch: int,
    device: torch.device,
) -> Responses:
    """How the last feature map of `network` responds to tiles 0 .. count - 1.

    read(indices) gives tiles (B, t, t, 3) uint8. `count` may be 0.
    """
    seen: dict[str, tuple[int, int]] = {}

    def strongest(tiles: torch.Tensor) -> torch.Tensor:
        maps = {name: found for name, found in network.layers(tiles).items() if found.ndim == 4}
        layer, last = list(maps.items())[-1]
        seen[layer] = tuple(last.shape[2:])
        value, place = last.float().flatten(2).max(dim=2)
        return torch.stack([value, place.float()], dim=1)  # (B, 2, C)

    parts = [rows for _, rows in infer(strongest, read, count, batch=batch, device=device)]
    found = np.concatenate(parts) if parts else np.zeros((0, 2, 0), np.float32)
    layer, shape = next(iter(seen.items()), ("", (1, 1)))
    return Responses(layer, shape, found[:, 0], found[:, 1].astype(np.int64))
