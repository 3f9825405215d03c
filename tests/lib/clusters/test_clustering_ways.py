"""Whatever their size, features are clustered in one of several ways, to the same end."""

import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from workflow.lib.clusters.clustering import fit
from workflow.lib.clusters.clusters import assign
from workflow.lib.tiles.rows import Rows

USUAL = {"pca": 8, "iterations": 50, "restarts": 3, "seed": 0}


def tissue(rows=3000, dimensions=12, groups=9):
    """Features (N, D) in clear groups of different sizes, with some noise between them."""
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(groups, dimensions)) * 3 + 1
    places = rng.choice(groups, rows, p=np.arange(1, groups + 1) / np.arange(1, groups + 1).sum())
    return (centres[places] + rng.normal(size=(rows, dimensions)) * 0.4).astype(np.float32), places


def pieces(features, size=700):
    return Rows(
        {f"s{first}": features[first : first + size] for first in range(0, len(features), size)}
    )


@pytest.fixture(params=["whole", "points held", "streamed", "streamed from faiss"])
def way(request, monkeypatch):
    """The ways in which features of different sizes are clustered, on a small array."""
    monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.SAMPLE", 1500)
    if request.param == "points held":  # 3000 x 8 points of 4 bytes fit, 3000 x 12 features do not
        monkeypatch.setattr("workflow.lib.clusters.clustering.HELD", 100_000)
        monkeypatch.setattr("workflow.lib.clusters.clustering.PLAIN", 0)
    if request.param.startswith("streamed"):
        monkeypatch.setattr("workflow.lib.clusters.clustering.HELD", 0)
    if request.param == "streamed from faiss":
        monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.PLAIN", 0)
    return request.param


def test_every_way_finds_the_groups_the_larger_the_lower_its_id(way):
    features, truth = tissue()
    found, loss = fit(pieces(features), clusters=9, **USUAL | {"restarts": 6})
    ids, distance = assign(features, found)
    assert adjusted_rand_score(truth, ids) > 0.99
    assert (np.diff(np.bincount(ids, minlength=9)) <= 0).all()
    assert loss == pytest.approx(float((distance**2).mean()), rel=1e-5)
    assert all(value.dtype == np.float32 for name, value in vars(found).items() if name != "unit")


def test_every_way_gives_the_same_for_the_same_seed(way):
    features = np.random.default_rng(0).normal(size=(3000, 12)).astype(np.float32)
    runs = [fit(pieces(features), clusters=20, **USUAL | {"seed": seed}) for seed in (1, 1, 2)]
    (first, loss), (again, same), (other, _) = runs
    assert loss == same and np.array_equal(first.centroids, again.centroids)
    assert not np.array_equal(first.centroids, other.centroids)


def test_every_way_comes_to_about_the_distance_of_the_plain_one(way):
    features = np.random.default_rng(0).normal(size=(3000, 12)).astype(np.float32)
    loss = fit(pieces(features), clusters=30, **USUAL)[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workflow.lib.clusters.clustering.HELD", 1 << 27)
        patch.setattr("workflow.lib.clusters.clustering.PLAIN", 1 << 23)
        assert loss == pytest.approx(fit(features, clusters=30, **USUAL)[1], rel=0.03)


def test_an_array_and_its_rows_are_the_same_to_every_way(way):
    features, _ = tissue()
    arrays = (
        fit(features, clusters=9, **USUAL)[0],
        fit(Rows({"": features}), clusters=9, **USUAL)[0],
    )
    assert all(
        np.array_equal(value, getattr(arrays[1], key)) for key, value in vars(arrays[0]).items()
    )


@pytest.mark.parametrize("clusters", [4, 50])
def test_every_way_gives_fewer_clusters_for_fewer_distinct_tiles(way, clusters):
    rows = np.random.default_rng(5).normal(size=(4, 12)).astype(np.float32)
    features = np.repeat(rows, [1200, 900, 600, 300], axis=0)
    found, loss = fit(pieces(features), clusters=clusters, **USUAL)
    assert len(found.centroids) == 4 and loss == pytest.approx(0, abs=1e-9)
    assert np.bincount(assign(features, found)[0]).tolist() == [1200, 900, 600, 300]


def test_every_way_makes_one_cluster_of_equal_tiles(way):
    features = np.full((3000, 12), 0.1, np.float32)
    found, loss = fit(pieces(features), clusters=3, **USUAL)
    assert found.centroids.shape == (1, 0) and loss == 0


def test_every_way_names_the_slide_and_tile_of_a_feature_that_is_nan(way):
    features, _ = tissue()
    features[1500, 2] = np.nan
    with pytest.raises(ValueError, match=r"^E_NUMBER: s1400: the features of tile 100 are not"):
        fit(pieces(features), clusters=3, **USUAL)
    with pytest.raises(ValueError, match=r"^E_NUMBER: the features of tile 1500 are not finite"):
        fit(features, clusters=3, **USUAL)


class Made:
    """Features that exist only while they are read."""

    def __init__(self, rows):
        self.shape = (rows, 32)

    def __getitem__(self, rows):
        count = len(range(*rows.indices(self.shape[0])))
        return np.random.default_rng(rows.start).random((count, 32), np.float32)


def test_memory_does_not_grow_with_the_number_of_tiles(monkeypatch):
    monkeypatch.setattr("workflow.lib.clusters.clustering.HELD", 1 << 20)
    monkeypatch.setattr("workflow.lib.clusters.clusters.BLOCK", 1 << 14)
    monkeypatch.setattr("workflow.lib.tiles.rows.CELLS", 1 << 15)
    monkeypatch.setattr("workflow.lib.clusters.streamed_kmeans.SAMPLE", 1000)
    peaks = []
    for rows in (10_000, 10_000, 100_000):  # the first one warms up
        tracemalloc.start()
        found, _ = fit(
            Rows({"a": Made(rows)}),
            clusters=20,
            **USUAL | {"iterations": 1, "restarts": 1, "pca": 16},
        )
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found.centroids.shape == (20, 16)
    assert peaks[2] < peaks[1] + 2 * 100_000  # bytes: the kept tiles, and a little
    assert peaks[2] < 100_000 * 32 * 4 / 5
