"""Memory that a process keeps from one batch to the next, in place of asking the kernel anew.

glibc maps every block above 32 MB by itself and gives it back at once. The activations of a batch
are such blocks: for each the kernel finds and clears thousands of pages again, which took as many
CPU seconds of SqueezeNet as its arithmetic (docs/decisions/encoding.md).
"""

import ctypes
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # parameters of mallopt (malloc.h)
KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: 2**31 - 1}  # no block of its own; nothing goes back
# What glibc's own rule comes to once it has freed a block of 32 MB.
PLAIN = {MMAP_MAX: 1 << 16, MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 64 << 20}

_holders = [0]  # of the process, as is the allocator


def kept_memory(device: "torch.device") -> AbstractContextManager[None]:
    """Within it, what is freed stays with the process; after it, all of that goes back.

    Nothing changes on a GPU, whose memory torch keeps, or where the C library is not glibc. Which
    numbers come out does not depend on it. It may be entered again within itself.
    """
    return _kept() if device.type == "cpu" else nullcontext()


@contextmanager
def _kept() -> Iterator[None]:
    _holders[0] += 1
    _tell(KEPT)
    try:
        yield
    finally:
        _holders[0] -= 1
        if not _holders[0]:
            _tell(PLAIN)
            give_back()


def _tell(options: dict[int, int]) -> None:
    with suppress(OSError, AttributeError):  # another C library
        library = ctypes.CDLL(None)
        for option, value in options.items():
            library.mallopt(option, value)


def give_back() -> None:
    """Give what is free to the kernel, so that blocks of another size do not come on top of it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
