import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from workflow.lib.clusters.clusters import project
from workflow.lib.clusters.whitening import Points, covariance, whitening
from workflow.lib.tiles.rows import Rows


def blobs(seed=0, groups=5, each=60, dimensions=20, spread=0.3):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, dimensions)) * 3 + 4
    rows = centres[:, None] + rng.normal(size=(groups, each, dimensions)) * spread
    return rows.reshape(-1, dimensions).astype(np.float32), np.repeat(np.arange(groups), each)


def pieces(features, sizes):
    """The same rows as several arrays, which are read in blocks of their own."""
    parts = np.split(features, np.cumsum(sizes))
    return Rows({str(place): part for place, part in enumerate(parts)})


@pytest.mark.parametrize("rows", [60, 2000])  # by singular values, by covariance
def test_whitened_features_have_the_identity_as_covariance(rows):
    rng = np.random.default_rng(1)
    features = (rng.normal(size=(rows, 30)) @ rng.normal(size=(30, 30)) + 5).astype(np.float32)
    mean, components, scale = whitening(features, pca=12)
    white = ((features - mean) @ components.T) / scale
    assert np.allclose(white.mean(0), 0, atol=1e-3)
    assert np.allclose(np.cov(white.T), np.eye(12), atol=1e-2)


def test_whitening_is_that_of_scikit_learn_up_to_sign():
    features, _ = blobs()
    mean, components, scale = whitening(features, pca=4)
    expected = PCA(4, whiten=True).fit_transform(features.astype(np.float64))
    white = ((features - mean) @ components.T) / scale
    assert np.allclose(np.abs(white), np.abs(expected), atol=1e-3)


def test_rows_have_unit_length():
    features, _ = blobs()
    points = project(features, *whitening(features, pca=6))
    assert np.allclose(np.linalg.norm(points, axis=1), 1, atol=1e-6)


def test_directions_without_variance_are_dropped_not_blown_up():
    features = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    features = np.concatenate([features, features, np.full((100, 4), 7, np.float32)], axis=1)
    assert whitening(features, pca=10)[1].shape == (3, 10)


def test_rows_keep_their_length_where_units_are_not_wanted():
    features = np.array([[3.0, 4.0], [1.0, 0.0]], np.float32)
    points = project(features, np.ones(2), np.eye(2), np.array([1, 2]), unit=False)
    assert points.tolist() == [[2, 1.5], [0, -0.5]]


@pytest.mark.parametrize("rows, offset", [(60, 0), (700, 5), (700, 1000)])
def test_streamed_whitening_is_that_of_scikit_learn_signs_included(rows, offset, monkeypatch):
    monkeypatch.setattr("workflow.lib.tiles.rows.CELLS", 30 * 64)
    rng = np.random.default_rng(1)
    features = rng.normal(size=(rows, 30)) @ rng.normal(size=(30, 30)) + offset
    features = features.astype(np.float32)
    mean, components, scale = whitening(pieces(features, [1, 10, 40]), pca=12)
    model = PCA(12, svd_solver="covariance_eigh").fit(features.astype(np.float64))
    assert np.allclose(mean, model.mean_, rtol=1e-6)
    assert np.allclose(scale, np.sqrt(model.explained_variance_), rtol=1e-4)
    assert np.allclose(components, model.components_, atol=1e-4)
    assert mean.dtype == components.dtype == scale.dtype == np.float32
    whole = whitening(features, pca=12)
    apart = project(features, *whole) - project(features, mean, components, scale)
    assert np.abs(apart).max() < 1e-4


def test_streamed_covariance_is_exact_far_from_zero():
    """The textbook sum of squares minus the squared mean would lose every digit of this."""
    features = np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 5.0], [4.0, 4.0], [2.0, 2.0]]) + 2.0**30
    count, mean, found = covariance([features[:1], features[1:3], features[3:]])
    assert count == 5 and np.allclose(mean - 2.0**30, [2, 2.4], atol=1e-6)
    assert np.allclose(found, np.cov((features - 2.0**30).T), rtol=1e-6)


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_blocks_do_not_change_the_covariance(sizes, seed):
    features = np.random.default_rng(seed).normal(3, 2, (sum(sizes), 4))
    count, mean, found = covariance(np.split(features, np.cumsum(sizes)[:-1]))
    assert count == len(features) and np.allclose(mean, features.mean(0))
    expected = np.cov(features.T) if count > 1 else np.zeros((4, 4))
    assert np.allclose(found, expected)


def test_covariance_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no features"):
        covariance([])


def test_streamed_directions_without_variance_are_dropped():
    features = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    features = np.concatenate([features, features, np.full((100, 4), 7, np.float32)], axis=1)
    assert whitening(pieces(features, [30, 30]), pca=10)[1].shape == (3, 10)


@pytest.mark.parametrize("value", [0, 0.1, 1e6])
@pytest.mark.parametrize("rows", [1, 50])
def test_streamed_rows_that_are_all_equal_have_no_component(rows, value):
    features = np.full((rows, 4), value, np.float32)
    mean, components, scale = whitening(pieces(features, []), pca=3)
    assert np.array_equal(mean, features[0])
    assert components.shape == (0, 4) and scale.shape == (0,)


def test_points_are_projected_whenever_they_are_read():
    features, _ = blobs()
    white = whitening(features, pca=6)
    points = Points(pieces(features, [100, 50]), *white)
    assert len(points) == 300
    for _ in range(2):
        assert np.allclose(np.concatenate(list(points)), project(features, *white), atol=1e-6)
