from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from workflow.lib.clusters.clustering import fit
from workflow.lib.clusters.clusters import Clusters, assign, project
from workflow.lib.tiles.rows import check_finite

USUAL = {"pca": 8, "iterations": 50, "restarts": 3, "seed": 0}


def blobs(seed=0, groups=5, each=60, dimensions=20, spread=0.3):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, dimensions)) * 3 + 4
    rows = centres[:, None] + rng.normal(size=(groups, each, dimensions)) * spread
    return rows.reshape(-1, dimensions).astype(np.float32), np.repeat(np.arange(groups), each)


def test_clear_groups_are_found():
    features, truth = blobs()
    clusters, _ = fit(features, clusters=5, **USUAL)
    ids, distance = assign(features, clusters)
    assert adjusted_rand_score(truth, ids) == 1
    assert ids.dtype == np.int32 and distance.dtype == np.float32
    assert (distance >= 0).all() and (distance <= 2).all()


def test_inertia_is_that_of_scikit_learn_within_a_few_percent():
    features = np.random.default_rng(2).normal(size=(1500, 16)).astype(np.float32)
    clusters, loss = fit(features, clusters=20, **USUAL)
    points = project(features, clusters.mean, clusters.components, clusters.scale)
    expected = KMeans(20, n_init=3, random_state=0).fit(points).inertia_ / len(points)
    assert loss == pytest.approx(expected, rel=0.03)
    assert loss == pytest.approx(float((assign(features, clusters)[1] ** 2).mean()), rel=1e-5)


def test_same_seed_same_clusters_and_ids_run_from_large_to_small():
    features, _ = blobs(3, spread=3)
    first, again = (fit(features, clusters=9, **USUAL)[0] for _ in range(2))
    assert all(np.array_equal(value, getattr(again, name)) for name, value in vars(first).items())
    sizes = np.bincount(assign(features, first)[0], minlength=9)
    assert (np.diff(sizes) <= 0).all() and sizes.min() > 0


def test_the_order_of_the_tiles_does_not_rename_clear_clusters():
    rng = np.random.default_rng(4)
    features = np.concatenate([blobs(0, 3)[0], blobs(0, 3)[0][:90], blobs(0, 3)[0][:30]])
    mixed = rng.permutation(len(features))
    ids = assign(features, fit(features, clusters=3, **USUAL)[0])[0]
    ids_mixed = assign(features, fit(features[mixed], clusters=3, **USUAL)[0])[0]
    assert np.array_equal(ids, ids_mixed)


def test_more_clusters_than_groups_are_welcome():
    features, truth = blobs()
    clusters, _ = fit(features, clusters=15, **USUAL)
    ids, _ = assign(features, clusters)
    assert len(clusters.centroids) == 15 == len(np.unique(ids))
    purity = sum(np.bincount(truth[ids == k]).max() for k in range(15)) / len(ids)
    assert purity > 0.97


@pytest.mark.parametrize("clusters", [4, 5, 50])
def test_fewer_distinct_tiles_than_clusters_give_fewer_clusters(clusters):
    rows = np.random.default_rng(5).normal(size=(4, 6)).astype(np.float32)
    features = np.repeat(rows, [5, 3, 2, 1], axis=0)
    found, loss = fit(features, clusters=clusters, **USUAL)
    ids, _ = assign(features, found)
    assert len(found.centroids) == 4 and loss == pytest.approx(0, abs=1e-9)
    assert ids.tolist() == [0] * 5 + [1] * 3 + [2] * 2 + [3]


@pytest.mark.parametrize("rows", [1, 7])
def test_tiles_that_are_all_equal_are_one_cluster(rows):
    features = np.ones((rows, 6), np.float32)
    found, loss = fit(features, clusters=3, **USUAL)
    assert found.centroids.shape == (1, 0) and loss == 0
    assert assign(features, found)[0].tolist() == [0] * rows


def test_one_direction_of_variance_has_two_sides():
    """Unit length leaves of one component only its sign: two distinct points, two clusters."""
    features = np.arange(20, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    found, _ = fit(features, clusters=5, **USUAL)
    assert len(found.centroids) == 2


@settings(max_examples=20)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 40),
    clusters=st.integers(1, 12),
    levels=st.integers(1, 4),
)
def test_no_cluster_is_ever_empty(seed, rows, clusters, levels):
    features = np.random.default_rng(seed).integers(0, levels, (rows, 5)).astype(np.float32)
    found, loss = fit(features, clusters=clusters, pca=5, iterations=5, restarts=1, seed=seed)
    ids, distance = assign(features, found)
    assert np.array_equal(np.unique(ids), np.arange(len(found.centroids)))
    assert np.isfinite(loss) and np.isfinite(distance).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_and_named(bad):
    features, _ = blobs()
    clusters, _ = fit(features, clusters=3, **USUAL)
    features[17, 3] = bad
    for call in (
        check_finite,
        partial(fit, clusters=3, **USUAL),
        partial(assign, clusters=clusters),
    ):
        with pytest.raises(ValueError, match=r"tile 17 .* 1 of 300 tiles"):
            call(features)


def test_nothing_to_cluster_is_an_error():
    with pytest.raises(ValueError, match="no features"):
        fit(np.zeros((0, 4), np.float32), clusters=2, **USUAL)


def test_unit_length_survives_the_file_and_is_the_default(tmp_path):
    features, _ = blobs()
    found, _ = fit(features, clusters=3, **USUAL)
    assert found.unit is True
    np.savez(tmp_path / "clusters.npz", **vars(found))
    with np.load(tmp_path / "clusters.npz") as arrays:
        loaded = Clusters(**arrays)
        older = Clusters(**{key: arrays[key] for key in arrays if key != "unit"})
    for clusters in (loaded, older):
        assert np.array_equal(assign(features, found)[1], assign(features, clusters)[1])
