"""The tiles nearest to a tile: to an encoder, and pixel by pixel.

Where the two agree, the encoder has seen little more than colour.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from workflow.lib.report.montage import choose_tiles
from workflow.lib.tiles.samples import Sample

SIDE_PX = 32  # px that tiles are shrunk to before pixels are compared: finer ones never match


@dataclass(frozen=True)
class Found:
    """A tile and its nearest: indices, and their distances, by features and by pixels."""

    query: int
    by_features: tuple[np.ndarray, np.ndarray]
    by_pixels: tuple[np.ndarray, np.ndarray]


def find_neighbours(sample: Sample, *, queries: int, number: int, seed: int) -> list[Found]:
    """The `number` nearest tiles to one tile of each of the `queries` largest clusters.

    The tile is drawn at random from its cluster. Neighbours are of other slides, because those of
    the same slide share its stain and its scanner, and none overlaps another. Features are compared
    by the cosine from their mean: those after a ReLU all point into the same corner.
    """
    features = sample.features - sample.features.mean(axis=0) if len(sample) else sample.features
    rng = np.random.default_rng(seed)
    sizes = np.bincount(sample.cluster, minlength=sample.k)
    largest = [c for c in np.argsort(-sizes, kind="stable")[:queries] if sizes[c]]
    pixels = shrink_tiles(sample.pixels([tile])[0] for tile in range(len(sample)))
    found = []
    for cluster in largest:
        query = int(rng.choice(np.flatnonzero(sample.cluster == cluster)))
        others = np.flatnonzero(sample.slide != sample.slide[query])
        pair = []
        for distance in (cosine_distances(features, query), pixel_distances(pixels, query)):
            near, _ = choose_tiles(
                distance[others],
                sample.slide[others],
                sample.corners[others],
                tile_px=sample.tile_px,
                count=2 * number,  # the nearest are half of them
                rng=rng,
            )
            pair.append((others[near], distance[others[near]]))
        found.append(Found(query, *pair))
    return found


def cosine_distances(features: np.ndarray, query: int) -> np.ndarray:
    """1 - cosine between row `query` of `features` (N, D) and every row, (N,) float64, 0 to 2.

    A row of zeros points nowhere: its distance to every other row is 1.
    """
    rows = np.asarray(features, np.float64)
    length = np.linalg.norm(rows, axis=1)
    unit = rows / np.where(length > 0, length, 1)[:, None]
    distance = np.clip(1 - unit @ unit[query], 0, 2)
    distance[query] = 0
    return distance


def shrink_tiles(tiles: Iterable[np.ndarray]) -> np.ndarray:
    """N tiles (t, t, 3) uint8 as rows of 32 x 32 pixels (N, 3072) uint8."""
    small = [cv2.resize(tile, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for tile in tiles]
    return np.array(small, np.uint8).reshape(-1, SIDE_PX * SIDE_PX * 3)


def pixel_distances(pixels: np.ndarray, query: int) -> np.ndarray:
    """How far row `query` of `pixels` (N, V) uint8 is from every row, (N,) float64, 0 to 255.

    It is the Euclidean distance over the root of V: the root mean square difference of a value.
    """
    squared = np.empty(len(pixels))
    own = pixels[query].astype(np.float32)
    for row, other in enumerate(pixels):  # one at a time: all differences would not fit in memory
        squared[row] = np.square(other - own).mean(dtype=np.float64)
    return np.sqrt(squared)
