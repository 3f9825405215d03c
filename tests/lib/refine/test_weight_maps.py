"""Weights of pixels: by hand, and against distances from every pixel to every other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.refine.weight_maps import balance, border_term, reach_px


def two_squares(gap, side=40):
    """Two squares of 12 px beside each other, `gap` columns between them."""
    objects = np.zeros((side, side), np.int32)
    objects[14:26, 6:18] = 1
    objects[14:26, 18 + gap : 30 + gap] = 2
    return objects


@pytest.mark.parametrize("gap", [1, 2, 3, 7])
def test_the_most_weight_is_in_the_middle_of_a_gap(gap):
    objects = two_squares(gap)
    term = border_term(objects, weight=10.0, sigma_px=5.0)
    middle = term[20, 18 : 18 + gap]
    assert middle == pytest.approx(10 * np.exp(-(gap**2) / 50), rel=1e-5)  # d1 + d2 = gap
    assert term.max() == pytest.approx(middle.max())
    assert objects[np.unravel_index(term.argmax(), term.shape)] == 0
    assert term[20, 17] < middle[0] and term[20, 18 + gap] < middle[-1]
    assert term[20, 6] < 0.5 and term[0, 0] < 0.1


def test_in_a_narrow_gap_the_weight_is_about_that_of_its_class_and_w0():
    objects = two_squares(1)
    counts = np.bincount((objects > 0).ravel())
    weights = balance(counts)[(objects > 0).astype(int)] + border_term(
        objects, weight=10.0, sigma_px=5.0
    )
    assert weights[20, 18] == pytest.approx(balance(counts)[0] + 10, rel=0.02)


def test_objects_that_touch_have_it_on_both_sides():
    term = border_term(two_squares(0), weight=10.0, sigma_px=5.0)
    assert term[20, 17:19] == pytest.approx(10 * np.exp(-1 / 50), rel=1e-5)
    assert term[20, 16] == pytest.approx(10 * np.exp(-(3**2) / 50), rel=1e-5)  # 1.5 and 1.5
    assert term.max() == term[20, 17]


@pytest.mark.parametrize("objects", [np.zeros((9, 9), int), np.ones((9, 9), int), np.eye(9) > 4])
def test_without_two_objects_there_is_no_border(objects):
    assert not border_term(objects.astype(np.int32), weight=10.0, sigma_px=5.0).any()


def test_one_object_has_no_border_however_odd_its_shape():
    ring = np.ones((20, 20), np.int32)
    ring[8:12, 8:] = 0
    assert not border_term(ring, weight=10.0, sigma_px=5.0).any()


def by_pairs(objects, weight, sigma_px):
    """The formula, from all distances: of a pixel to an outline, as half a pixel less than to the
    nearest pixel on the other side of it."""
    places = np.argwhere(np.ones(objects.shape))
    labels = objects[tuple(places.T)]
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1)
    outlines = []
    for number in np.unique(labels[labels > 0]):
        own = labels == number
        outlines.append(np.where(own, *(apart[:, s].min(1) for s in (~own, own))) - 0.5)
    if len(outlines) < 2:
        return np.zeros(objects.shape)
    nearest, second = np.sort(outlines, axis=0)[:2]
    return (weight * np.exp(-((nearest + second) ** 2) / (2 * sigma_px**2))).reshape(objects.shape)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.5, 3))
def test_it_is_the_formula(seed, sigma_px):
    rng = np.random.default_rng(seed)
    objects = rng.integers(0, 5, (9, 11)) * (rng.random((9, 11)) < 0.3)
    found = border_term(objects, weight=10.0, sigma_px=sigma_px)
    assert found == pytest.approx(by_pairs(objects, 10.0, sigma_px), abs=1e-3)


def test_what_is_out_of_reach_of_a_tile_does_not_change_it():
    reach = reach_px(2.0)
    rng = np.random.default_rng(0)
    objects = rng.integers(1, 4, (60, 60)) * (rng.random((60, 60)) < 0.05)
    whole = border_term(objects, weight=10.0, sigma_px=2.0)
    near = border_term(
        objects[20 - reach : 40 + reach, 20 - reach : 40 + reach], weight=10.0, sigma_px=2.0
    )
    assert near[reach:-reach, reach:-reach] == pytest.approx(whole[20:40, 20:40], abs=1e-3)


def test_classes_have_the_same_say():
    counts = np.array([990, 10])
    assert balance(counts) * counts == pytest.approx(500)
    assert balance(np.array([7, 7])).tolist() == [1, 1]
