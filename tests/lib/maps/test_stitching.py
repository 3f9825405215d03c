"""Stitching: hand-computed values, a brute-force reference, and where a marked pixel ends up."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.maps.stitching import Tally, heatmap_shape, stitch, window_weights


def whole(bands):
    """The bands as one heatmap, after checking that they follow each other without gaps."""
    bands = list(bands)
    rows = [0, *np.cumsum([len(probability) for _, probability, _ in bands])]
    assert [row0 for row0, _, _ in bands] == rows[:-1]
    return np.concatenate([b[1] for b in bands]), np.concatenate([b[2] for b in bands])


def brute_force(maps, positions, shape, downsample, window):
    """Blend at store resolution, then average blocks; everything in memory, in float64."""
    height, width = shape
    side = maps.shape[1] * downsample
    margin = side + downsample
    sums = np.zeros((height * downsample + margin, width * downsample + margin))
    weights = np.zeros_like(sums)
    line = np.repeat(window_weights(window, maps.shape[1]).astype(np.float64), downsample)
    for (y, x), tile in zip(positions, maps, strict=True):
        big = tile.repeat(downsample, 0).repeat(downsample, 1)
        weight = line[:, None] * line
        sums[y : y + side, x : x + side] += big * weight
        weights[y : y + side, x : x + side] += weight

    def blocks(values):
        cut = values[: height * downsample, : width * downsample]
        return cut.reshape(height, downsample, width, downsample).mean(axis=(1, 3))

    sums, weights = blocks(sums), blocks(weights)
    return np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0), weights > 0


@st.composite
def tilings(draw):
    """Tiles of one slide: any overlap, any position, also past the lower right border."""
    downsample = draw(st.integers(1, 4))
    side = draw(st.integers(1, 6))
    shape = draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    count = draw(st.integers(0, 8))
    corner = st.tuples(*(st.integers(0, edge * downsample - 1) for edge in shape))
    positions = draw(st.lists(corner, min_size=count, max_size=count))
    seed = draw(st.integers(0, 2**32 - 1))
    maps = np.random.default_rng(seed).random((count, side, side), np.float32)
    window = draw(st.sampled_from(["hann", "flat"]))
    return maps, np.array(positions, np.int64).reshape(-1, 2), shape, downsample, window


def test_two_tiles_by_hand():
    maps = np.array([[[0.2, 0.4]] * 2, [[0.8, 1.0]] * 2], np.float32)
    probability, covered = whole(
        stitch(maps, np.array([[0, 0], [0, 1]]), (3, 4), downsample=1, window="flat")
    )
    np.testing.assert_allclose(probability[:2], [[0.2, 0.6, 1.0, 0.0]] * 2, rtol=1e-6)
    assert covered.tolist() == [[True, True, True, False]] * 2 + [[False] * 4]
    assert not probability[2].any()


def test_hann_by_hand():
    # sin^2 at 1/8, 3/8, 5/8, 7/8 of half a turn
    np.testing.assert_allclose(
        window_weights("hann", 4), [0.146447, 0.853553, 0.853553, 0.146447], rtol=1e-5
    )
    maps = np.array([np.zeros((4, 4)), np.ones((4, 4))], np.float32)
    probability, _ = whole(
        stitch(maps, np.array([[0, 0], [0, 2]]), (4, 6), downsample=1, window="hann")
    )
    np.testing.assert_allclose(probability[1], [0, 0, 0.146447, 0.853553, 1, 1], rtol=1e-5)


def test_a_tile_half_a_pixel_to_the_right():
    maps = np.array([[[0.0, 1.0]], [[0.0, 1.0]]], np.float32).reshape(1, 2, 2)
    probability, covered = whole(
        stitch(maps, np.array([[0, 1]]), (2, 3), downsample=2, window="flat")
    )
    np.testing.assert_allclose(probability, [[0, 0.5, 1]] * 2)
    assert covered.all()


def test_uint16_is_probability():
    maps = np.full((1, 2, 2), 13107, np.uint16)  # a fifth of 65535
    probability, _ = whole(stitch(maps, np.zeros((1, 2)), (2, 2), downsample=1, window="flat"))
    np.testing.assert_allclose(probability, 0.2, rtol=1e-6)


@given(tilings())
@settings(max_examples=150)
def test_equals_brute_force(tiling):
    maps, positions, shape, downsample, window = tiling
    probability, covered = whole(
        stitch(maps, positions, shape, downsample=downsample, window=window)
    )
    expected, touched = brute_force(maps, positions, shape, downsample, window)
    np.testing.assert_array_equal(covered, touched)
    np.testing.assert_allclose(probability, expected, atol=1e-5)
    assert not probability[~covered].any()


@given(tilings(), st.floats(0, 1, width=32))
@settings(max_examples=60)
def test_constant_tiles_give_the_constant(tiling, value):
    """The weights of the tiles over a pixel sum to one: a partition of unity."""
    maps, positions, shape, downsample, window = tiling
    probability, covered = whole(
        stitch(np.full_like(maps, value), positions, shape, downsample=downsample, window=window)
    )
    np.testing.assert_allclose(probability[covered], value, rtol=1e-5, atol=1e-7)
    assert not probability[~covered].any()


@given(tilings(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_order_does_not_matter(tiling, random):
    maps, positions, shape, downsample, window = tiling
    order = list(range(len(maps)))
    random.shuffle(order)
    options = {"downsample": downsample, "window": window}
    one, _ = whole(stitch(maps, positions, shape, **options))
    other, _ = whole(stitch(maps[order], positions[order], shape, **options))
    np.testing.assert_allclose(one, other, atol=1e-6)


@given(
    mpp0=st.sampled_from([0.25, 0.499, 0.5, 1.0]),
    mpp=st.sampled_from([1.0, 1.3, 2.0]),
    downsample=st.sampled_from([1, 2, 3, 4]),
    stride_px=st.sampled_from([17, 24, 48]),
    window=st.sampled_from(["hann", "flat"]),
    data=st.data(),
)
@settings(max_examples=80)
def test_a_marked_pixel_comes_back_at_its_level_0_place(
    mpp0, mpp, downsample, stride_px, window, data
):
    """Mark one store pixel in every tile that sees it; the peak lies on its level-0 place."""
    tile_px, size_px = 48, (200, 230)
    scale = mpp / mpp0
    positions = np.array(
        [
            (y, x)
            for y in range(0, size_px[0] - tile_px + 1, stride_px)
            for x in range(0, size_px[1] - tile_px + 1, stride_px)
        ]
    )
    origins = np.round(positions * scale).astype(np.int64)  # where the tiles were really read
    reach = positions.max(axis=0) + tile_px
    mark_px = [data.draw(st.integers(0, int(edge) - 1)) for edge in reach]
    mark_px0 = (np.array(mark_px) + 0.5) * scale
    maps = np.zeros((len(positions), tile_px // downsample, tile_px // downsample), np.float32)
    for tile, origin in zip(maps, origins, strict=True):
        seen = np.floor((mark_px0 - origin) / scale / downsample).astype(int)
        if (seen >= 0).all() and (seen < len(tile)).all():
            tile[tuple(seen)] = 1
    shape = heatmap_shape(*size_px, downsample)
    probability, _ = whole(stitch(maps, positions, shape, downsample=downsample, window=window))
    if not maps.any():  # the mark fell between the strides
        return
    peak = np.array(np.unravel_index(probability.argmax(), shape))
    scale_px0 = scale * downsample
    assert (np.abs((peak + 0.5) * scale_px0 - mark_px0) <= scale_px0 + 1e-6).all()


@given(tilings(), st.data())
@settings(max_examples=40)
def test_skipped_tiles_are_as_if_they_were_not_there(tiling, data):
    maps, positions, shape, downsample, window = tiling
    flags = st.lists(st.booleans(), min_size=len(maps), max_size=len(maps))
    skip = np.array(data.draw(flags), bool)
    options = {"downsample": downsample, "window": window}
    one, covered = whole(stitch(maps, positions, shape, skip=skip, **options))
    other, lies = whole(stitch(maps[~skip], positions[~skip], shape, **options))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(covered, lies)


def test_tally_counts_what_passes():
    bands = [
        (0, np.array([[0.5, 0.4, 0.0]]), np.array([[True, True, False]])),
        (1, np.array([[0.9, 0.0, 0.6]]), np.array([[True, False, True]])),
    ]
    tally = Tally(0.5)
    assert list(tally.watch(iter(bands))) == bands
    assert (tally.covered, tally.marked) == (4, 3)


def test_no_tiles():
    probability, covered = whole(
        stitch(np.zeros((0, 8, 8)), np.zeros((0, 2)), (30, 7), downsample=1, window="hann")
    )
    assert probability.shape == covered.shape == (30, 7)
    assert not probability.any()
    assert not covered.any()


@pytest.mark.parametrize(
    ("shape", "positions", "window", "message"),
    [
        ((1, 4, 5), [[0, 0]], "hann", "square"),
        ((2, 4, 4), [[0, 0]], "hann", "2 tile maps but 1 positions"),
        ((1, 4, 4), [[0, 40]], "hann", r"\[0, 40\] px, outside the slide of \[10, 10\] px"),
        ((1, 4, 4), [[-1, 0]], "flat", "outside the slide"),
        ((1, 4, 4), [[0, 0]], "gauss", "'gauss'; use one of hann, flat"),
    ],
)
def test_bad_input(shape, positions, window, message):
    with pytest.raises(ValueError, match=message):
        list(stitch(np.zeros(shape), np.array(positions), (10, 10), downsample=1, window=window))


class Drawn:
    """Tile maps that exist only while they are read, like those of a zarr array."""

    def __init__(self, count, side):
        self.shape = (count, side, side)
        self.most = 0

    def __getitem__(self, rows):
        self.most = max(self.most, rows.stop - rows.start)
        return np.full((rows.stop - rows.start, *self.shape[1:]), 32768, np.uint16)


def peak_bytes(rows, cols, side):
    """What stitching a slide of rows x cols heatmap px allocates at most, and what it reads."""
    grid = [
        (y, x) for y in range(0, rows - side + 1, side) for x in range(0, cols - side + 1, side)
    ]
    maps = Drawn(len(grid), side)
    tracemalloc.start()
    for _, probability, _ in stitch(
        maps, np.array(grid), (rows, cols), downsample=1, window="hann"
    ):
        assert len(probability) <= side + 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, maps.most


def test_memory_does_not_grow_with_the_height():
    low, _ = peak_bytes(1024, 1024, 64)
    high, most = peak_bytes(8192, 1024, 64)
    assert high < 1.2 * low + 2**20
    assert most <= 64


@pytest.mark.slow
def test_memory_of_a_whole_slide():
    """20,000 x 20,000 heatmap px are 1.6 GB as float32; stitching holds a few rows of tiles."""
    peak, _ = peak_bytes(20_000, 20_000, 128)
    assert peak < 150 * 2**20
