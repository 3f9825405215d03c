"""Memory of batches, used again when nobody looks at it any more.

Fresh memory of this size comes from the system page by page, which costs 5 to 8 % of decoding the
tiles that go there (docs/decisions/store.md).
"""

import math
import sys
from collections.abc import Sequence

import numpy as np

KEPT = 4  # blocks that wait to be used again: what is read ahead, what is computed, and one more


class Buffers:
    """Lends arrays of bytes. What is lent is never lent again while it, or a view of it, is there.

    When the process has a GPU in use, memory is pinned, so that it is copied there while the GPU
    computes; torch then keeps it until the copy is done, and uses it again itself.
    """

    def __init__(self) -> None:
        self._free: list[np.ndarray] = []

    def __reduce__(self) -> tuple:
        return Buffers, ()

    def lend(self, shape: Sequence[int]) -> np.ndarray:
        """An array of `shape`, uint8, C order; what is in it is arbitrary."""
        torch = sys.modules.get("torch")  # who has not imported it has no GPU in use
        if torch and torch.cuda.is_initialized():
            return torch.empty(tuple(shape), dtype=torch.uint8, pin_memory=True).numpy()
        size = math.prod(shape)
        try:
            block = self._free.pop()
        except IndexError:
            block = None
        if block is None or len(block) < size:
            block = np.empty(size, np.uint8)
        return np.asarray(_Lease(block, tuple(shape), self._free))


class _Lease:
    """What stands behind an array that is lent, and, through it, behind all views of it."""

    def __init__(self, block: np.ndarray, shape: tuple[int, ...], home: list[np.ndarray]) -> None:
        self._block, self._home = block, home
        self.__array_interface__ = {
            "data": (block.ctypes.data, False),
            "shape": shape,
            "typestr": "|u1",
            "version": 3,
        }

    def __del__(self) -> None:
        if len(self._home) < KEPT:
            self._home.append(self._block)
