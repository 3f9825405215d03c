"""Nearest neighbours, by features and by pixels."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_distances as reference

from workflow.lib.clusters.neighbours import (
    cosine_distances,
    find_neighbours,
    pixel_distances,
    shrink_tiles,
)
from workflow.lib.tiles.samples import Sample

TILE = 4


class Store:
    def __init__(self, greys):
        self.greys = greys

    def pixels(self, row):
        return np.full((TILE, TILE, 3), self.greys[row], np.uint8)


def sample(features, slide, cluster, greys, corners=None):
    """Tiles of one grey each; by default none lies beside another."""
    slide, features = np.array(slide), np.array(features, np.float32)
    row = np.array([int((slide[:i] == of).sum()) for i, of in enumerate(slide)])
    names = [f"s{of}" for of in range(slide.max() + 1)]
    stores = [Store(np.array(greys)[slide == of]) for of in range(len(names))]
    if corners is None:
        corners = np.stack([row * TILE, row * 0], axis=1)
    about = {"total": len(slide), "k": max(cluster) + 1, "tile_px": TILE}
    return Sample(names, stores, slide, row, np.array(cluster), features, corners, **about)


def test_cosine_distances_are_those_of_scikit_learn():
    features = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    np.testing.assert_allclose(
        cosine_distances(features, 7), reference(features.astype(float))[7], atol=1e-7
    )


def test_length_does_not_matter_and_a_row_of_zeros_points_nowhere():
    features = np.array([[1, 0], [5, 0], [0, 2], [-3, 0], [0, 0]])
    assert cosine_distances(features, 0).tolist() == [0, 0, 1, 2, 1]
    assert cosine_distances(features, 4).tolist() == [1, 1, 1, 1, 0]


def test_pixel_distance_is_the_root_mean_square_difference():
    pixels = np.array([[0, 0, 0, 0], [0, 0, 0, 8], [255, 255, 255, 255]], np.uint8)
    assert pixel_distances(pixels, 0).tolist() == [0, 4, 255]
    assert pixel_distances(pixels, 2)[0] == 255  # and not what uint8 makes of a difference


def test_tiles_of_any_size_are_shrunk_by_area():
    tile = np.zeros((64, 64, 3), np.uint8)
    tile[::2] = 200
    rows = shrink_tiles([tile, tile[::2]])
    assert rows.shape == (2, 32 * 32 * 3)
    assert (rows[0] == 100).all() and (rows[1] == 200).all()
    assert shrink_tiles([]).shape == (0, 3072)


@pytest.mark.parametrize("shift", [0, 100])
def test_features_and_pixels_find_their_own_neighbours_on_other_slides(shift):
    """Tile 0 is the query: tile 1 of its own slide is nearest, and is not shown."""
    features = np.array([[1, 0], [1, 0], [2, 0.2], [1, 1], [-5, -1.2]])  # their mean is 0
    drawn = sample(features + shift, [0, 0, 1, 1, 2], [0, 1, 1, 1, 2], [100, 100, 200, 110, 104])
    found = {one.query: one for one in find_neighbours(drawn, queries=3, number=2, seed=0)}
    assert found[0].by_features[0].tolist() == [2, 3]
    np.testing.assert_allclose(
        found[0].by_features[1], [1 - 1 / 1.01**0.5, 1 - 0.5**0.5], atol=1e-4
    )
    assert found[0].by_pixels[0].tolist() == [4, 3]
    assert found[0].by_pixels[1].tolist() == [4, 10]


def test_one_query_for_each_of_the_largest_clusters():
    drawn = sample(np.eye(6), [0, 1, 0, 1, 0, 1], [2, 2, 2, 0, 0, 1], range(6))
    queries = [one.query for one in find_neighbours(drawn, queries=2, number=1, seed=0)]
    assert [int(drawn.cluster[query]) for query in queries] == [2, 0]
    again = [one.query for one in find_neighbours(drawn, queries=2, number=1, seed=0)]
    assert queries == again


def test_overlapping_neighbours_are_shown_once():
    corners = np.array([[0, 0], [0, 0], [0, 2], [0, 4]])
    drawn = sample([[1, 0]] * 4, [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 2, 3], corners)
    found = next(f for f in find_neighbours(drawn, queries=2, number=3, seed=0) if f.query == 0)
    assert found.by_pixels[0].tolist() == [1, 3]


@pytest.mark.parametrize("slides", [[0, 0, 0], [0]])
def test_a_single_slide_has_no_neighbours(slides):
    drawn = sample(np.eye(len(slides)), slides, [0] * len(slides), range(len(slides)))
    (found,) = find_neighbours(drawn, queries=3, number=2, seed=0)
    assert len(found.by_features[0]) == len(found.by_pixels[1]) == 0


def test_without_tiles_there_is_no_query():
    nothing = np.zeros(0, int)
    empty = (nothing, nothing, nothing, np.zeros((0, 3)), np.zeros((0, 2), int))
    assert find_neighbours(Sample([], [], *empty, 0, 0, 0), queries=3, number=2, seed=0) == []
