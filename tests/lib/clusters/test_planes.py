"""Points on a plane: neighbours stay together, whatever features come."""

import sys

import numpy as np
import pytest

from workflow.lib.clusters.planes import place, reduce


def at(features, *, method="tsne", perplexity=30.0, seed=0):
    return place(features, method=method, perplexity=perplexity, seed=seed)[0]


@pytest.fixture(scope="module")
def groups():
    """60 points of three far groups, and which they are of."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(3), 20)
    return 20 * np.eye(3, 8)[of] + rng.normal(size=(60, 8)), of


@pytest.fixture(scope="module")
def placed(groups):
    return at(groups[0])


def test_groups_stay_apart(groups, placed):
    _, of = groups
    distance = np.linalg.norm(placed[:, None] - placed[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert placed.shape == (60, 2) and placed.dtype == np.float64
    assert (of[distance.argmin(axis=1)] == of).all()


def test_the_same_seed_gives_the_same_bytes(groups, placed):
    assert at(groups[0]).tobytes() == placed.tobytes()


def test_the_scale_of_a_feature_does_not_matter(groups, placed):
    """And one that never changes does not count."""
    features = np.c_[groups[0] * [1, 1000, 1, 1, 0.001, 1, 1, 1], np.full(60, 7.0)]
    np.testing.assert_allclose(reduce(features), reduce(groups[0]), atol=1e-9)


def test_reduced_features_keep_all_distances_where_there_are_few_of_them(groups):
    features = groups[0]
    standard = (features - features.mean(0)) / features.std(0)
    whole, reduced = (
        np.linalg.norm(x[:, None] - x[None], axis=2) for x in (standard, reduce(features))
    )
    np.testing.assert_allclose(reduced, whole, atol=1e-9)


def test_no_more_than_50_components_are_kept():
    assert reduce(np.random.default_rng(0).normal(size=(70, 90))).shape == (70, 50)


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_too_few_points_for_neighbourhoods_are_principal_components(count):
    features = np.random.default_rng(0).normal(size=(count, 4))
    points = at(features)
    assert points.shape == (count, 2) and np.isfinite(points).all()
    both = reduce(features)[:, :2]
    np.testing.assert_array_equal(points[:, : both.shape[1]], both)


def test_a_handful_of_points_are_placed_with_the_neighbours_that_there_are():
    points = at(np.random.default_rng(0).normal(size=(12, 4)))
    assert np.isfinite(points).all() and len(np.unique(points, axis=0)) == 12


def test_equal_tiles_lie_on_one_point():
    assert (at(np.ones((40, 4))) == 0).all()
    twins = at(np.repeat(np.eye(2, 4), 20, axis=0))
    assert len(np.unique(twins, axis=0)) == 2


def test_umap_that_is_not_installed_says_what_to_install(groups, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ValueError, match="pip install umap-learn"):
        at(groups[0], method="umap")


def test_umap_gets_the_neighbours_and_the_seed(groups, monkeypatch):
    given = {}

    class Stub:
        def __init__(self, **settings):
            given.update(settings)

        def fit_transform(self, points):
            return points[:, :2]

    monkeypatch.setitem(sys.modules, "umap", type("umap", (), {"UMAP": Stub}))
    assert at(groups[0], method="umap", perplexity=7.0, seed=3).shape == (60, 2)
    assert given == {"n_neighbors": 7, "random_state": 3, "n_jobs": 1}


@pytest.mark.slow  # numba compiles for half a minute
def test_umap_itself_keeps_groups_apart_and_gives_the_same_bytes(groups):
    pytest.importorskip("umap", exc_type=ModuleNotFoundError)
    features, of = groups
    found, method = place(features, method="umap", perplexity=30.0, seed=0)
    distance = np.linalg.norm(found[:, None] - found[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert method == "umap" and found.shape == (60, 2) and found.dtype == np.float64
    assert (of[distance.argmin(axis=1)] == of).all()
    assert at(features, method="umap").tobytes() == found.tobytes()
    assert not np.array_equal(at(features, method="umap", seed=1), found)
    assert np.isfinite(at(features[:12], method="umap")).all()


def test_another_method_is_an_error(groups):
    with pytest.raises(ValueError, match="'pca'; write tsne or umap"):
        at(groups[0], method="pca")
