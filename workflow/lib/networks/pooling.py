"""From the probabilities of tiles to the probability of their slide."""

from math import ceil
from typing import Literal

import numpy as np

Pooling = Literal["mean", "max", "top_k"]
TOP_SHARE = 0.1  # of the tiles that top_k listens to: a lesion is often a tenth of the tissue


def pool_tiles(probability: np.ndarray, pooling: Pooling, *, negative: int | None) -> np.ndarray:
    """Class probabilities (C,) float64 of a slide from those of its tiles (N, C), N >= 1.

    mean: the mean over all tiles
    max: those of the tile that looks least like the negative class
    top_k: the mean over the tenth of the tiles (one at least) that looks least like it
    negative: index of the class without a single positive pixel. Without one (None) each class
    is pooled over the tiles where it is highest, and the result is scaled to add up to 1.
    """
    counts = {"mean": len(probability), "max": 1, "top_k": ceil(TOP_SHARE * len(probability))}
    if pooling not in counts:
        raise ValueError(f"classify_tiles.pooling is {pooling!r}; write mean, max or top_k")
    count = counts[pooling]
    probability = np.asarray(probability, np.float64)
    if negative is None:
        pooled = -np.sort(-probability, axis=0, kind="stable")[:count].mean(axis=0)
        return pooled / pooled.sum()
    chosen = np.argsort(probability[:, negative], kind="stable")[:count]
    return probability[chosen].mean(axis=0)
