"""What a loop waits for its tiles is told, and is true."""

import time

import numpy as np
import pytest
import torch

from workflow.lib.tiles.inference import READERS, read_ahead
from workflow.lib.tiles.waiting import Waiting


def test_the_share_by_hand():
    now = 0.0

    def steps():
        nonlocal now
        for wait in (3.0, 1.0):
            now += wait
            yield wait

    waiting = Waiting(lambda: now)
    for _ in waiting.watch(steps()):
        now += 6.0
    assert (waiting.waited, waiting.total) == (4.0, 16.0)
    assert waiting.sentence() == "Waited for tiles 25.0 % of the time."
    for _ in waiting.watch(steps()):  # the next epoch
        pass
    assert (waiting.waited, waiting.total) == (8.0, 20.0)


def slow(seconds):
    def read(batch):
        time.sleep(seconds)
        return np.full(2, batch)

    return read


@pytest.mark.usefixtures("one_thread")
def test_a_slow_reader_is_waited_for_and_a_quick_one_is_not():
    waiting = Waiting()
    for _ in waiting.watch(read_ahead(slow(0.05), range(6))):
        time.sleep(0.01)
    assert waiting.waited / waiting.total > 0.6
    waiting = Waiting()
    for _ in waiting.watch(read_ahead(slow(0.01), range(8))):
        time.sleep(0.05)
    assert waiting.waited / waiting.total < 0.3


@pytest.mark.parametrize("threads", [1, 2, READERS + 3])
def test_batches_come_in_order_whatever_the_number_of_readers(threads, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    rng = np.random.default_rng(0)

    def read(batch):
        time.sleep(rng.random() / 200)
        return np.full(2, batch)

    found = list(read_ahead(read, range(20)))
    assert [batch for batch, _ in found] == [int(pixels[0]) for _, pixels in found]
    assert len(found) == 20 and list(read_ahead(read, [])) == []
