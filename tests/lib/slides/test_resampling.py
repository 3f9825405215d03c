"""Resampling by area, against the mean written out."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.slides.resampling import halve, resample


def brute(image, start, factor, shape):
    """The same mean pixel by pixel: weights are lengths of overlapping intervals."""

    def weights(begin, length, side):
        low = begin + np.arange(length)[:, None] * factor
        pixel = np.arange(side)
        shared = np.minimum(low + factor, pixel + 1) - np.maximum(low, pixel)
        return np.clip(shared, 0, None) / factor

    down = weights(start[0], shape[0], image.shape[0])
    across = weights(start[1], shape[1], image.shape[1])
    return np.einsum("ih,hwc,jw->ijc", down, image.astype(np.float64), across)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=60)
@given(
    factor=st.floats(0.4, 20),
    y=st.floats(0, 3),
    x=st.floats(0, 3),
    height=st.integers(1, 12),
    width=st.integers(1, 40),
)
def test_it_is_the_mean_of_what_a_pixel_covers(factor, y, x, height, width):
    image = noise(int(np.ceil(y + height * factor)), int(np.ceil(x + width * factor)))
    found = resample(image, (y, x), factor, (height, width))
    assert found.shape == (height, width, 3)
    assert found.dtype == np.uint8
    assert abs(found - brute(image, (y, x), factor, (height, width))).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("start", [(0, 0), (2, 3)])
def test_halves_are_means_with_ties_to_even(start):
    image = noise(40 + start[0], 64 + start[1])
    part = image[start[0] :, start[1] :].astype(float)
    expected = np.rint(part.reshape(20, 2, 32, 2, 3).mean((1, 3)))
    assert (np.rint(part.reshape(20, 2, 32, 2, 3).mean((1, 3)) + 1e-9) != expected).any()  # ties
    assert np.array_equal(resample(image, start, 2.0, (20, 32)), expected)
    assert np.array_equal(halve(image[start[0] :, start[1] :]), expected)


def test_factor_one_copies_bit_by_bit():
    image = noise(9, 11)
    found = resample(image, (2.0, 3.0), 1.0, (4, 5))
    assert np.array_equal(found, image[2:6, 3:8])
    assert not np.shares_memory(found, image)


def test_half_a_pixel_blends_two():
    image = np.zeros((1, 3, 3), np.uint8)
    image[0, 1] = 200
    assert resample(image, (0, 0.5), 1.0, (1, 2))[0, :, 0].tolist() == [100, 100]


def test_it_agrees_with_cv2_where_cv2_can_do_it():
    image = noise(299, 299)
    expected = cv2.resize(image, (130, 130), interpolation=cv2.INTER_AREA)
    assert abs(resample(image, (0, 0), 2.3, (130, 130)).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("factor", [1.25, 1.5, 1.6, 2.5, 3.0, 4.0, 7.0])
def test_between_whole_pixels_it_is_the_same_mean(factor):
    image = noise(300, 300)
    whole = resample(image, (3, 5), factor, (40, 40))  # these end on whole pixels
    assert abs(whole - brute(image, (3, 5), factor, (40, 40))).max() <= 0.5 + 1e-3
    apart = resample(image, (3, 5 - factor / 4), factor, (40, 40))
    assert abs(apart - brute(image, (3, 5 - factor / 4), factor, (40, 40))).max() <= 0.5 + 1e-3
    inner = resample(image, (3, 5), factor, (39, 37))
    assert (whole[:39, :37] != inner).mean() < 1e-3  # some of them do not: the other way


def test_a_flat_colour_stays_that_colour():
    image = np.full((500, 500, 3), (201, 113, 7), np.uint8)
    assert (resample(image, (0.3, 0.7), 2.004, (200, 200)) == image[0, 0]).all()


@pytest.mark.parametrize(
    ("start", "factor", "shape"),
    [((0, 0), 2.0, (6, 2)), ((-1, 0), 1.0, (2, 2)), ((0, 9), 1.0, (2, 2))],
)
def test_an_image_that_ends_too_early_is_an_error(start, factor, shape):
    with pytest.raises(ValueError, match="ends before"):
        resample(noise(10, 10), start, factor, shape)
