"""Inference: every row once and in order, whatever the batch, the reader and the memory."""

import threading

import numpy as np
import pytest
import torch

from workflow.lib.tiles import inference
from workflow.lib.tiles.inference import check_tiles, infer, read_ahead, to_input

CPU = torch.device("cpu")


def tiles(count):
    return np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, 3)


def run(network, count, batch):
    pixels = tiles(count)
    return list(infer(network, lambda i: pixels[list(i)], count, batch=batch, device=CPU))


@pytest.mark.parametrize(("count", "batch"), [(0, 3), (1, 3), (3, 3), (7, 3), (7, 100)])
def test_every_row_comes_once_and_in_order(count, batch):
    found = run(lambda x: x[:, 0, 0, 0] * 255, count, batch)
    assert np.concatenate([[], *(values for _, values in found)]) == pytest.approx(range(count))
    assert [i for rows, _ in found for i in range(rows.start, rows.stop)] == list(range(count))


@pytest.mark.parametrize(("count", "times"), [(4, 0), (5, 1), (1, 1)])
def test_memory_is_given_back_before_a_batch_of_another_size(monkeypatch, count, times):
    given = []
    monkeypatch.setattr(inference, "give_back", lambda: given.append(1))
    run(lambda x: x[:, 0, 0, 0], count, 2)
    assert len(given) == times


def test_a_batch_that_does_not_fit_is_halved(caplog):
    def small(x):
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x[:, 0, 0, 0] * 255

    found = run(small, 9, 8)
    assert np.concatenate([values for _, values in found]) == pytest.approx(range(9))
    assert "8 tiles do not fit" in caplog.text and "compute.batch" in caplog.text


def test_what_stands_beside_a_tile_stays_beside_it_also_when_halved():
    def small(x, beside):
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x[:, 0, 0, 0] * 255 - beside

    maps, pixels = torch.arange(9.0), tiles(9)
    found = infer(
        small, lambda i: pixels[list(i)], 9, batch=5, device=CPU, beside=lambda rows: maps[rows]
    )
    assert np.concatenate([values for _, values in found]) == pytest.approx(0, abs=1e-5)


def test_one_tile_that_does_not_fit_is_an_error():
    def none(_x):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        run(none, 3, 2)


def test_no_gradients_are_kept_and_the_caller_keeps_its_own_mode():
    weight = torch.ones(1, requires_grad=True)
    for _ in infer(lambda x: x * weight, lambda i: tiles(4)[list(i)], 4, batch=2, device=CPU):
        assert not torch.is_inference_mode_enabled()


def test_the_next_batch_is_read_while_one_is_computed():
    begun = [threading.Event(), threading.Event()]

    def read(batch):
        begun[batch].set()
        return tiles(1)

    for batch, _ in read_ahead(read, [0, 1]):
        assert batch == 1 or begun[1].wait(10)


def test_an_error_of_the_reader_reaches_the_caller():
    def read(_indices):
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="the store is gone"):
        list(infer(lambda x: x, read, 3, batch=2, device=CPU))


def test_pixels_become_shares_of_one_with_channels_first():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3), dtype=np.uint8)
    found = to_input(pixels, CPU)
    assert found.dtype == torch.float32 and found.shape == (2, 3, 4, 4)
    assert found[1, 2, 3, 0].item() == pytest.approx(pixels[1, 3, 0, 2] / 255)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("expects", "said"),
    [
        ((256, None), "UNI takes tiles of 256 px, but these have 224 px.*tile_px to 256"),
        ((None, 1.0), "UNI was trained at 1 um per pixel, but these tiles have 0.5.*mpp to 1"),
        ((None, 0.53), "at 0.53 um"),
    ],
)
def test_tiles_that_a_model_was_not_made_for_are_refused(expects, said):
    with pytest.raises(ValueError, match=said):
        check_tiles("UNI", expects=expects, tiles=(224, 0.5))


@pytest.mark.parametrize("expects", [(None, None), (224, 0.5), (224, 0.49), (224, 0.52)])
def test_tiles_that_a_model_was_made_for_pass(expects):
    check_tiles("UNI", expects=expects, tiles=(224, 0.5))
