import tracemalloc

import numpy as np

from workflow.lib.clusters.clusters import nearest, project
from workflow.lib.clusters.kmeans import distinct_rows, fill_empty, kmeans, lloyd, sums
from workflow.lib.clusters.whitening import whitening


def blobs(seed=0, groups=5, each=60, dimensions=20, spread=0.3):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, dimensions)) * 3 + 4
    rows = centres[:, None] + rng.normal(size=(groups, each, dimensions)) * spread
    return rows.reshape(-1, dimensions).astype(np.float32), np.repeat(np.arange(groups), each)


def test_an_empty_cluster_takes_half_of_the_largest():
    points = np.array([[0.0], [0.1], [1.0], [1.1], [9.0]], np.float32)
    ids = np.array([0, 0, 0, 0, 2], np.int32)
    assert np.bincount(fill_empty(points, ids, 3)).tolist() == [2, 2, 1]
    assert ids.tolist() == [0, 0, 0, 0, 2]  # the input is left alone


def test_a_large_cluster_of_equal_tiles_is_not_split():
    points = np.array([[5.0]] * 6 + [[0.0], [1.0]], np.float32)
    ids = np.array([0] * 6 + [1, 1], np.int32)
    filled = fill_empty(points, ids, 3)
    assert filled[:6].tolist() == [0] * 6 and sorted(filled[6:]) == [1, 2]


def test_k_means_recovers_from_a_start_that_leaves_clusters_empty(monkeypatch):
    features, _ = blobs(6, groups=4)
    points = project(features, *whitening(features, pca=6))
    far = np.full((4, points.shape[1]), 50, np.float32) * np.arange(1, 5, dtype=np.float32)[:, None]
    monkeypatch.setattr(
        "workflow.lib.clusters.kmeans.kmeans_plusplus", lambda *_, **__: (far, None)
    )
    _, ids, _ = lloyd(points, 4, 50, seed=0)
    assert (np.bincount(ids, minlength=4) > 0).all()


def test_distinct_rows_are_counted_as_far_as_needed():
    rows = np.array([[1, 2], [1, 2], [3, 4], [5, 6]], np.float32)
    assert distinct_rows(rows, 10) == 3
    assert distinct_rows(rows, 2) == 2
    assert distinct_rows([rows[:1], rows[1:]], 10) == 3


def test_values_that_differ_by_rounding_only_are_not_distinct():
    blocks = [np.array([[0.1], [-0.0]]), np.array([[0.10000001], [0.0], [-0.00001]])]
    assert distinct_rows(blocks, 10, decimals=4) == 2
    assert distinct_rows(blocks, 10) == 5


def test_looking_for_distinct_rows_takes_no_copy_of_all():
    rows = np.zeros((200_000, 16), np.float32)
    rows[-1] = 1
    tracemalloc.start()
    assert distinct_rows(rows, 10, decimals=4) == 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes / 4


def test_the_best_of_several_runs_is_kept():
    points = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    draws = np.random.default_rng(3).integers(2**31, size=4)
    losses = [lloyd(points, 9, 30, int(draw))[2] for draw in draws]
    _, sizes, loss = kmeans(points, 9, iterations=30, restarts=4, rng=np.random.default_rng(3))
    assert loss == min(losses) < max(losses) and sizes.sum() == 200


def test_sums_are_those_of_each_cluster():
    points = np.array([[1, 2], [3, 4], [5, 6]], np.float32)
    assert sums(points, np.array([2, 0, 2]), 3).tolist() == [[3, 4], [0, 0], [6, 8]]


def test_of_equally_near_centroids_the_first_is_nearest():
    ids, squared = nearest(
        np.array([[0.0, 0.0], [3.0, 0.0]], np.float32),
        np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]], np.float32),
    )
    assert ids.tolist() == [0, 0] and squared.tolist() == [1, 4]
