"""Clusters that stand: the nearest one of each tile, by hand and in blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.clusters.clusters import Clusters, assign, by_size, nearest


def clusters(centroids, unit=True, mean=(1, 2), scale=(1, 2)):
    """Of two features that are whitened by hand: (x - 1) / 1 and (y - 2) / 2."""
    white = np.array(mean, np.float32), np.eye(2, dtype=np.float32), np.array(scale, np.float32)
    return Clusters(*white, np.array(centroids, np.float32), unit=unit)


def test_by_hand():
    """Whitened: (3, 4), (0, -1) and the mean itself, which has no direction and stays 0."""
    features = np.array([[4, 10], [1, 0], [1, 2]], np.float32)
    ids, distance = assign(features, clusters([[0.6, 0.8], [0, 1], [0, -0.5]]))
    assert ids.tolist() == [0, 2, 2] and ids.dtype == np.int32
    assert distance.tolist() == pytest.approx([0, 0.5, 0.5]) and distance.dtype == np.float32


def test_without_unit_length_distances_are_those_of_the_code(tmp_path):
    centroids = np.array([[0, 0], [6, 8]], np.float32)
    identity = np.zeros(2, np.float32), np.eye(2, dtype=np.float32), np.ones(2, np.float32)
    codes = np.array([[3, 4], [6, 9], [-5, 12]], np.float32)
    np.savez(tmp_path / "clusters.npz", **vars(Clusters(*identity, centroids, unit=False)))
    with np.load(tmp_path / "clusters.npz") as arrays:
        ids, distance = assign(codes, Clusters(**arrays))
    assert ids.tolist() == [0, 1, 1] and distance.tolist() == pytest.approx([5, 1, 137**0.5])


def test_of_equally_near_clusters_the_lower_id_wins():
    ids, _ = assign(np.array([[4, 2]], np.float32), clusters([[0, 1], [0, -1], [0, 1]]))
    assert ids.tolist() == [0]


def test_no_tiles_are_assigned_to_nothing():
    ids, distance = assign(np.zeros((0, 2), np.float32), clusters([[1, 0]]))
    assert ids.shape == distance.shape == (0,)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), rows=st.integers(0, 40), count=st.integers(1, 7))
def test_the_nearest_is_the_nearest_whatever_the_blocks(seed, rows, count):
    rng = np.random.default_rng(seed)
    points, centroids = (rng.normal(size=(n, 3)).astype(np.float32) for n in (rows, count))
    expected = ((points[:, None] - centroids) ** 2).sum(2)
    with pytest.MonkeyPatch.context() as patch:
        for block in (1, 2 * count, 1 << 24):
            patch.setattr("workflow.lib.clusters.clusters.BLOCK", block)
            ids, squared = nearest(points, centroids)
            assert np.array_equal(ids, expected.argmin(1))
            assert np.allclose(squared, expected.min(1), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 5), (3,)])
def test_features_of_another_encoder_are_refused(shape):
    with pytest.raises(ValueError, match=r"features are \(3,.*the clusters need \(tiles, 2\)"):
        assign(np.ones(shape, np.float32), clusters([[1, 0]]))


def test_the_tile_that_is_not_finite_is_named():
    features = np.ones((4, 2), np.float32)
    features[2, 1] = np.nan
    with pytest.raises(ValueError, match="tile 102 .* 1 of 4 tiles"):
        assign(features, clusters([[1, 0]]), first=100)


def test_clusters_are_sorted_by_size_and_empty_ones_left_out():
    centroids = np.array([[3.0, 0], [2.0, 5], [2.0, 1], [9.0, 9]])
    found = by_size(centroids, np.array([3, 2, 2, 0]))
    assert found.tolist() == [[3, 0], [2, 1], [2, 5]]  # the last two are equally large
    assert by_size(centroids[:2], np.array([1, 2])).tolist() == [[2, 5], [3, 0]]
