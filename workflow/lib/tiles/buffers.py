"""Memory that the tiles of a batch are decoded into, each straight to its place."""

import sys
from collections.abc import Sequence

import numpy as np


def empty_batch(shape: Sequence[int]) -> np.ndarray:
    """An array of `shape`, uint8, C order; what is in it is arbitrary.

    When the process has a GPU in use, its memory is pinned, so that the whole of it is copied there
    while the GPU computes; torch keeps it until that is done, and uses it for later batches. The
    allocator of NumPy does the same without a GPU (docs/decisions/store.md).
    """
    torch = sys.modules.get("torch")  # who has not imported it has no GPU in use
    if torch and torch.cuda.is_initialized():
        return torch.empty(tuple(shape), dtype=torch.uint8, pin_memory=True).numpy()
    return np.empty(tuple(shape), np.uint8)
