"""Memory that is lent is nobody else's, and comes back."""

import copy
import gc
import threading

import numpy as np
import pytest
import torch

from workflow.lib.tiles.buffers import KEPT, Buffers


def where(array):
    return array.__array_interface__["data"][0]


def test_memory_is_used_again_once_nobody_looks_at_it():
    buffers = Buffers()
    first = buffers.lend((4, 8, 8, 3))
    assert first.shape == (4, 8, 8, 3) and first.dtype == np.uint8 and first.flags.c_contiguous
    place = where(first)
    second = buffers.lend((4, 8, 8, 3))
    assert where(second) != place
    del first
    assert where(buffers.lend((2, 8, 8, 3))) == place  # a last batch is smaller


@pytest.mark.parametrize(
    "look", [lambda a: a[1:, 2], lambda a: a.T[0], torch.from_numpy, lambda a: memoryview(a)]
)
def test_a_view_is_enough_to_keep_it(look):
    buffers = Buffers()
    lent = buffers.lend((3, 50))
    lent[:] = 7
    view = look(lent)
    del lent
    gc.collect()
    buffers.lend((3, 50))[:] = 9
    assert (np.asarray(view) == 7).all()


def test_a_larger_batch_gets_a_larger_block_and_few_are_kept():
    buffers = Buffers()
    buffers.lend((10,))
    larger = buffers.lend((1000,))
    larger[:] = 1
    held = [buffers.lend((10,)) for _ in range(3 * KEPT)]
    del held
    gc.collect()
    assert len(buffers._free) <= KEPT
    assert copy.deepcopy(buffers).lend((0, 3)).shape == (0, 3)


def test_threads_never_share_a_block():
    buffers, wrong = Buffers(), []

    def work(number):
        for _ in range(300):
            lent = buffers.lend((2000,))
            lent[:] = number
            if (lent != number).any():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_with_a_gpu_in_use_memory_is_pinned(monkeypatch):
    asked, empty = [], torch.empty

    def pinned(shape, *, dtype, pin_memory):
        asked.append((shape, dtype, pin_memory))
        return empty(shape, dtype=dtype)

    assert Buffers().lend((2, 3)).shape == (2, 3) and not asked
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch, "empty", pinned)
    assert Buffers().lend((2, 3)).shape == (2, 3)
    assert asked == [((2, 3), torch.uint8, True)]
