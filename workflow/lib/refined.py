"""Refined masks: a probability per pixel of a tile, as coarse and as compact as it is stored."""

import numpy as np
import torch
from torch.nn import functional

FULL = 65535  # the 16-bit code of probability 1


def shrink(probability: torch.Tensor, downsample: int) -> torch.Tensor:
    """Area average (B, t, t) -> (B, t / downsample, t / downsample).

    Raises ValueError when `downsample` does not divide t, because pixels would be cut off.
    """
    if downsample < 1 or probability.shape[-1] % downsample:
        raise ValueError(
            f"refine_masks.downsample is {downsample}, which does not divide the tile's "
            f"{probability.shape[-1]} px; use a divisor"
        )
    return functional.avg_pool2d(probability[:, None], downsample)[:, 0]


def to_codes(probability: np.ndarray) -> np.ndarray:
    """uint16 codes, probability * 65535 to the nearest, of any shape in 0..1.

    Raises ValueError for a value that is not a number.
    """
    if np.isnan(probability).any():
        raise ValueError("a refined mask holds a value that is not a number; train it anew")
    return np.rint(np.clip(probability, 0.0, 1.0) * FULL).astype(np.uint16)
