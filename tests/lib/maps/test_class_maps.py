"""A map per class from the scores of tiles: places, overlaps, tiles without pixels."""

import numpy as np
import pytest

from workflow.lib.maps.class_maps import stitch_classes


class Store:
    """What is asked of a tile store: 2 um per px, a slide of 10 x 12 px, tiles of 4 px."""

    def __init__(self, corners, stride, bad=()):
        self.positions_px = np.array(corners, np.int64)
        self.bad = np.isin(np.arange(len(corners)), list(bad))
        size = {"height_px": 10, "width_px": 12, "height_px0": 40, "width_px0": 48}
        self.attrs = {"mpp": 2.0, "scale": 4.0, "tile_px": 4, "stride_px": stride} | size


def test_a_pixel_is_a_tile_and_a_channel_a_class():
    scores = np.array([[0.9, 0.1], [0.25, 0.75]], np.float32)
    size, (row, maps, covered) = stitch_classes(Store([(0, 4), (4, 8)], 4), scores)
    assert size == {"shape": [3, 3], "mpp": 8.0, "scale_px0": 16.0}
    assert row == 0 and maps.dtype == np.float32
    first, second = [[0, 0.9, 0], [0, 0, 0.25], [0, 0, 0]], [[0, 0.1, 0], [0, 0, 0.75], [0, 0, 0]]
    np.testing.assert_allclose(maps, [first, second], rtol=1e-6)
    np.testing.assert_array_equal(covered, np.array(first) > 0)


def test_where_tiles_overlap_a_pixel_is_a_stride_and_their_mean():
    scores = np.array([[0.2], [0.6]], np.float32)
    size, (_, maps, covered) = stitch_classes(Store([(0, 0), (0, 2)], 2), scores)
    assert size == {"shape": [5, 6], "mpp": 4.0, "scale_px0": 8.0}
    np.testing.assert_allclose(maps[0, :2], [[0.2, 0.4, 0.6, 0, 0, 0]] * 2, rtol=1e-6)
    assert covered.sum() == 6


def test_the_last_tiles_reach_the_edge_and_lie_between_pixels():
    """A row of tiles that is shifted inwards, from 6 px on: half of it in each of two pixels."""
    _, (_, maps, covered) = stitch_classes(Store([(6, 8)], 4), np.array([[0.5]], np.float32))
    assert covered[:, 2].tolist() == [False, True, True]
    np.testing.assert_allclose(maps[0][covered], 0.5, rtol=1e-6)


def test_a_stride_that_does_not_divide_a_tile_leaves_pixels_of_tiles():
    size, _ = stitch_classes(Store([(0, 0), (0, 3)], 3), np.ones((2, 1), np.float32))
    assert size["mpp"] == 8.0


def test_tiles_without_pixels_and_slides_without_tiles():
    scores = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
    _, (_, maps, covered) = stitch_classes(Store([(0, 0), (0, 4)], 4, bad=[0]), scores)
    assert covered.sum() == 1 and maps[0, 0].tolist() == [0, pytest.approx(0.6), 0]
    store = Store(np.empty((0, 2)), 4)
    _, (_, maps, covered) = stitch_classes(store, np.empty((0, 2), np.float32))
    assert maps.shape == (2, 3, 3) and not covered.any() and not maps.any()
