"""Readers are lent to one thread at a time."""

import contextlib

import pytest
from PIL import Image

from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.viewer.readers import IDLE, Readers


@pytest.fixture
def images(tmp_path):
    files = [tmp_path / f"{n}.png" for n in range(IDLE + 2)]
    for file in files:
        Image.new("RGB", (4, 4)).save(file)
    return files


def test_a_reader_is_lent_again_but_never_twice(images):
    readers = Readers()
    with readers.borrow(images[0], 0.5) as first:
        with readers.borrow(images[0], 0.5) as second:
            assert second is not first
        with readers.borrow(images[0], 0.5) as third:
            assert third is second
    readers.close()


def test_only_a_few_stay_open(images):
    readers, closed = Readers(), []
    for number, file in enumerate(images):
        with readers.borrow(file, 0.5) as reader:
            reader.close = lambda number=number: closed.append(number)
    assert closed == [0, 1]
    readers.close()
    assert sorted(closed) == list(range(len(images)))


def test_a_reader_that_failed_is_not_lent_again(images):
    readers, closed = Readers(), []
    with contextlib.suppress(RuntimeError), readers.borrow(images[0], 0.5) as first:
        first.close = lambda: closed.append(0)
        raise RuntimeError
    with readers.borrow(images[0], 0.5) as second:
        assert closed == [0] and second is not first
    images[1].unlink()
    with pytest.raises(Quarantine), readers.borrow(images[1], 0.5):
        pass
    readers.close()
