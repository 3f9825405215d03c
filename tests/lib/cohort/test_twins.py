"""Near-duplicates: found however they are turned, and nothing else is."""

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.fft import dctn

from tests.synthetic import draw_pixels
from workflow.lib.cohort.twins import HASHED_PX, LOWEST, distances, find_twins, hashes, look, turn

SETTINGS = {"hash_distance": 20, "correlation": 0.6}
PX0, PX = 1024, 64  # a drawn slide, and its thumbnail


def clear(picture):
    """Whether no coefficient that a bit is made of is nearly 0, where rounding is its sign."""
    small = cv2.resize(picture, (HASHED_PX, HASHED_PX), interpolation=cv2.INTER_AREA)
    found = dctn(small.astype(np.float64), norm="ortho")
    kept = np.append(found[:LOWEST, :LOWEST].ravel()[1:], found[LOWEST, LOWEST])
    return np.abs(kept).min() > 1e-4


@st.composite
def pictures(draw):
    seed, blur = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.5, 2.0, 6.0]))
    noise = np.random.default_rng(seed).normal(0, 50, (PX, PX)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), blur)


@given(pictures(), pictures(), st.integers(0, 7), st.integers(0, 7))
@settings(max_examples=40)
def test_the_distance_is_the_same_under_all_symmetries(one, other, first, second):
    assume(clear(one) and clear(other))
    codes = [hashes(np.ascontiguousarray(p)) for p in (one, other)]
    turned = [hashes(np.ascontiguousarray(turn(p, s))) for p, s in ((one, first), (other, second))]
    plain = distances(codes[0][None], codes[1][None])
    assert distances(turned[0][None], turned[1][None]) == plain
    assert distances(codes[1][None], codes[0][None]) == plain
    assert distances(codes[0][None], turned[0][None]) == 0


@given(pictures(), st.integers(0, 7))
@settings(max_examples=20)
def test_the_hash_of_a_turned_picture_is_that_of_its_own_transform(picture, symmetry):
    """All eight come from one transform; each is what transforming the turned picture gives."""
    assume(clear(picture))
    turned = np.ascontiguousarray(turn(picture, symmetry))
    assert hashes(picture)[symmetry] == hashes(turned)[0]


def test_the_eight_symmetries_are_all_of_them():
    square = np.arange(9).reshape(3, 3)
    found = {turn(square, s).tobytes() for s in range(8)}
    expected = {
        np.rot90(side, turns).tobytes() for side in (square, square[:, ::-1]) for turns in range(4)
    }
    assert len(found) == 8 and found == expected


def test_distance_counts_bits():
    one, other = np.zeros((1, 8), np.uint64), np.full((1, 8), 0b1011, np.uint64)
    other[0, 5] = 0b1000
    assert distances(one, other).tolist() == [[1]]
    assert distances(one, one | np.uint64(2**64 - 1)).tolist() == [[64]]


def thumbnail(pixels):
    small = cv2.resize(pixels, (PX, PX), interpolation=cv2.INTER_AREA)
    return small, small.min(axis=2) < 215


@pytest.fixture(scope="module")
def drawn():
    """Ten drawn slides at full size: all have the same outline, and half a dark disc."""
    return {
        f"s{n}": draw_pixels((PX0, PX0), np.random.default_rng([3, n]), dense=n % 2)[0]
        for n in range(10)
    }


@pytest.fixture(scope="module")
def looks(drawn):
    return {name: look(*thumbnail(pixels)) for name, pixels in drawn.items()}


def test_different_slides_are_no_twins(looks):
    assert list(find_twins(looks, hash_distance=64, correlation=0.5)) == []


def encode(pixels, quality):
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: encode(p, 60),
        lambda p: np.rot90(p, 3),
        lambda p: p[::-1],
        lambda p: p[:, ::-1],
        lambda p: np.clip(p.astype(int) + 10, 0, 255).astype(np.uint8),
        lambda p: encode(np.ascontiguousarray(np.rot90(p)[:, ::-1] * 0.95).astype(np.uint8), 80),
        lambda p: cv2.resize(p, (PX0 // 2, PX0 // 2), interpolation=cv2.INTER_AREA),
    ],
    ids=["jpeg", "rotated", "flipped", "mirrored", "brighter", "all of it", "half the size"],
)
def test_a_changed_copy_is_found_and_no_other(drawn, looks, change):
    changed = np.ascontiguousarray(change(drawn["s4"]))
    found = list(find_twins(looks | {"t": look(*thumbnail(changed))}, **SETTINGS))
    assert [(pair.first, pair.second) for pair in found] == [("s4", "t")]
    assert 0.6 <= found[0].correlation <= 1


def test_what_shows_nothing_is_not_compared():
    picture = np.full((PX, PX, 3), 200, np.uint8)
    everywhere = np.ones((PX, PX), bool)
    assert look(picture, everywhere) is None  # flat
    noise = np.random.default_rng(0).integers(0, 255, (PX, PX, 3), dtype=np.uint8)
    assert look(noise, everywhere) is not None
    assert look(noise, ~everywhere) is None  # glass
    assert look(noise[:20], everywhere[:20]) is None  # too small
    assert list(find_twins({}, **SETTINGS)) == []


def test_glass_does_not_count(drawn, looks):
    """A pen mark or a label on the glass of one copy does not hide it."""
    pixels = drawn["s4"].copy()
    pixels[:100, :300] = (20, 20, 160)
    small, tissue = thumbnail(pixels)
    tissue[:8] = False
    marked = find_twins({"s4": looks["s4"], "t": look(small, tissue)}, **SETTINGS)
    assert [pair[:2] for pair in marked] == [("s4", "t")]


def test_pairs_do_not_depend_on_how_many_are_compared_at_a_time(looks, monkeypatch):
    wanted = {"hash_distance": 64, "correlation": 0.05}
    whole = list(find_twins(looks, **wanted))
    monkeypatch.setattr("workflow.lib.cohort.twins.BLOCK", 3)
    assert list(find_twins(looks, **wanted)) == whole and whole
