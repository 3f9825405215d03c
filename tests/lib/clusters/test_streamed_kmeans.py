import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from workflow.lib.clusters.clusters import nearest
from workflow.lib.clusters.kmeans import sums
from workflow.lib.clusters.streamed_kmeans import look, pick, split, start, streamed_kmeans
from workflow.lib.tiles.rows import Rows


def rng(seed=0):
    return np.random.default_rng(seed)


def cloud(count=3000, dimensions=8, seed=0):
    return rng(seed).normal(size=(count, dimensions)).astype(np.float32)


def pieces(points, size=700):
    return Rows({str(first): points[first : first + size] for first in range(0, len(points), size)})


@pytest.fixture(params=["plain", "faiss"])
def way(request, monkeypatch):
    """Both starts, on samples that are smaller than the points."""
    monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.SAMPLE", 500)
    if request.param == "faiss":
        monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.PLAIN", 0)
    return request.param


def test_one_pass_sees_what_the_whole_array_shows():
    points, centroids = cloud(), cloud(6, seed=1)
    centroids[4] = 50  # nearest to nothing
    ids, squared = nearest(points, centroids)
    found = look(pieces(points), centroids)
    assert found.sizes.tolist() == np.bincount(ids, minlength=6).tolist()
    assert np.allclose(found.sums, sums(points, ids, 6))
    assert found.loss == pytest.approx(float(squared.mean(dtype=np.float64)))
    for cluster in (0, 1, 2, 3, 5):
        own = np.flatnonzero(ids == cluster)
        assert np.array_equal(found.farthest[cluster], points[own[squared[own].argmax()]])
        assert found.reach[cluster] == squared[own].max()
    assert found.sizes[4] == found.reach[4] == 0


def test_empty_clusters_take_the_farthest_points_of_the_largest():
    points = np.array([[0.0], [0.2], [1.0], [9.0], [9.4], [20.0], [20.0], [20.0], [20.0]])
    centroids = np.array([[0.0], [99.0], [9.0], [77.0], [20.0]], np.float32)
    moved, waiting = split(look([points.astype(np.float32)], centroids), centroids)
    # the largest cluster, of equal points, has nothing to give
    assert waiting and np.allclose(moved[:, 0], [0.4, 1.0, 9.2, 9.4, 20.0])
    again = look([points.astype(np.float32)], moved)
    assert again.sizes.tolist() == [2, 1, 1, 1, 4] and not split(again, moved)[1]


def test_an_empty_cluster_that_nobody_can_help_is_not_waited_for():
    points = np.zeros((4, 2), np.float32)
    centroids = np.array([[0, 0], [5, 5]], np.float32)
    moved, waiting = split(look([points], centroids), centroids)
    assert not waiting and np.array_equal(moved, centroids)


def test_drawn_points_are_picked_from_their_blocks():
    points = cloud(50)
    drawn = np.array([0, 6, 7, 13, 49])
    assert np.array_equal(pick(pieces(points, 7), drawn), points[drawn])


def test_the_distance_is_that_of_scikit_learn_within_a_few_percent(way):
    points = cloud(2000, 4)
    centroids, sizes, loss = streamed_kmeans(
        pieces(points), 20, iterations=50, restarts=2, rng=rng()
    )
    expected = KMeans(20, n_init=2, random_state=0).fit(points).inertia_ / len(points)
    assert loss == pytest.approx(expected, rel=0.03)
    ids, squared = nearest(points, centroids)
    assert np.array_equal(sizes, np.bincount(ids, minlength=20)) and sizes.min() > 0
    assert loss == pytest.approx(float(squared.mean(dtype=np.float64)))


def test_passes_over_all_points_improve_on_the_sample(way):
    points = cloud(6000)
    first, last = (
        streamed_kmeans(pieces(points), 40, iterations=n, restarts=1, rng=rng())[2] for n in (1, 30)
    )
    assert last < first


def test_same_seed_same_centroids(way):
    first, again, other = (
        streamed_kmeans(pieces(cloud()), 15, iterations=9, restarts=2, rng=rng(seed))[0]
        for seed in (5, 5, 6)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_passes_end_when_little_is_gained(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "workflow.lib.clusters.streamed_kmeans.look", lambda *given: seen.append(1) or look(*given)
    )
    points = np.repeat(np.eye(4, dtype=np.float32), 20, axis=0)
    loss = streamed_kmeans(pieces(points), 4, iterations=99, restarts=1, rng=rng())[2]
    assert loss == 0 and len(seen) == 2


def test_a_start_that_leaves_clusters_empty_is_repaired(monkeypatch):
    far = np.full((12, 8), 50, np.float32) * np.arange(1, 13, dtype=np.float32)[:, None]
    monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.start", lambda *_, **__: far)
    _, sizes, _ = streamed_kmeans(pieces(cloud()), 12, iterations=30, restarts=1, rng=rng())
    assert sizes.min() > 0


def test_a_kind_of_point_that_the_sample_missed_gets_its_cluster(monkeypatch, way):
    monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.PER_CLUSTER", 1)
    monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.SAMPLE", 5)
    points = np.repeat(np.eye(8, dtype=np.float32) * np.arange(1, 9), 40, axis=0)
    _, sizes, loss = streamed_kmeans(pieces(points, 64), 8, iterations=20, restarts=1, rng=rng(1))
    assert sizes.tolist() == [40] * 8 and loss == 0


def test_faiss_starts_when_there_are_many_distances(monkeypatch):
    asked = []

    class Kmeans:
        def __init__(self, dimensions, count, **settings):
            asked.append((dimensions, count, settings["niter"]))
            self.centroids = np.zeros((count, dimensions), np.float32)

        def train(self, sample):
            asked.append(sample.shape)

    monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.faiss.Kmeans", Kmeans)
    for limit in (3000, 2999):
        monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.PLAIN", limit)
        start(cloud(300), 10, iterations=4, restarts=1, rng=rng())
    assert asked == [(8, 10, 4), (300, 8)]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, 60),
    clusters=st.integers(1, 12),
    levels=st.integers(1, 4),
    limit=st.sampled_from([0, 1 << 23]),
)
def test_no_cluster_stays_empty(seed, count, clusters, levels, limit):
    points = rng(seed).integers(0, levels, (count, 3)).astype(np.float32)
    clusters = min(clusters, len(np.unique(points, axis=0)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workflow.lib.clusters.streamed_kmeans.PLAIN", limit)
        centroids, sizes, loss = streamed_kmeans(
            pieces(points, 9), clusters, iterations=40, restarts=1, rng=rng(seed)
        )
    assert sizes.sum() == count and sizes.min() > 0 and np.isfinite(loss)
    ids, squared = nearest(points, centroids)
    assert np.array_equal(np.bincount(ids, minlength=clusters), sizes)
    assert loss == pytest.approx(float(squared.mean()), abs=1e-6)
