"""Soft assignments and their targets: by hand, and against other implementations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import rel_entr
from scipy.stats import t

from workflow.lib.clusters import soft_clusters
from workflow.lib.clusters.soft_clusters import (
    divergence,
    sharpen,
    soft_assignment,
    soft_assignments,
    start_centroids,
)

CODES = arrays(
    np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=st.floats(-9, 9, width=32)
)
CENTROIDS = arrays(
    np.float32, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-9, 9, width=32)
)


def test_soft_assignment_and_target_by_hand():
    """Squared distances 0, 1 | 1, 0 | 4, 1: kernels 1, 1/2 | 1/2, 1 | 1/5, 1/2."""
    q = soft_assignment(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [1.0]]))
    expected = [[2 / 3, 1 / 3], [1 / 3, 2 / 3], [2 / 7, 5 / 7]]
    assert np.allclose(q, expected, atol=1e-6)
    # Columns of q add up to 9/7 and 12/7. First row: (4/9)/(9/7) = 28/81 and (1/9)/(12/7) = 7/108.
    p = sharpen(q)
    first = np.array([28 / 81, 7 / 108])
    second = np.array([7 / 81, 28 / 108])
    third = np.array([(4 / 49) * 7 / 9, (25 / 49) * 7 / 12])
    assert np.allclose(p, [row / row.sum() for row in (first, second, third)], atol=1e-6)


def test_the_kernel_is_the_density_of_students_t():
    codes, centroids = torch.linspace(-3, 3, 7)[:, None], torch.tensor([[-1.0], [0.5], [2.0]])
    density = t.pdf((codes - centroids.T).numpy(), df=1)
    expected = density / density.sum(1, keepdims=True)
    assert np.allclose(soft_assignment(codes, centroids), expected, atol=1e-6)


@settings(max_examples=60)
@given(CODES, CENTROIDS)
def test_rows_add_up_to_one_and_the_nearest_centroid_weighs_most(codes, centroids):
    q = soft_assignment(torch.from_numpy(codes), torch.from_numpy(centroids))
    p = sharpen(q)
    assert np.allclose(q.sum(1), 1, atol=1e-5) and np.allclose(p.sum(1), 1, atol=1e-5)
    assert (q > 0).all() and (p >= 0).all()
    squared = ((codes[:, None] - centroids) ** 2).sum(2)
    chosen = squared[np.arange(len(codes)), q.argmax(1)]
    assert np.allclose(chosen, squared.min(1), rtol=1e-5, atol=1e-5)


@settings(max_examples=60)
@given(st.lists(st.floats(0.01, 0.99), min_size=1, max_size=9))
def test_the_target_is_sharper_where_clusters_are_equally_large(shares):
    """Each q with its mirror image, so that both columns add up to the same."""
    half = torch.tensor([[share, 1 - share] for share in shares], dtype=torch.float64)
    q = torch.cat([half, half.flip(1)])
    p = sharpen(q)
    assert (p.max(1).values >= q.max(1).values - 1e-12).all()
    assert torch.equal(p.argmax(1), q.argmax(1)) or (q[:, 0] - q[:, 1]).abs().min() < 1e-9
    sure = (q[:, 0] - 0.5).abs() > 0.01
    assert (p.max(1).values > q.max(1).values)[sure & (q.max(1).values < 0.99)].all()


def test_a_large_cluster_counts_less_in_the_target():
    q = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.5, 0.5]])
    p = sharpen(q)
    assert p[3, 1] > 0.5 > p[3, 0]


@settings(max_examples=60)
@given(CODES, CENTROIDS)
def test_the_divergence_agrees_with_scipy_and_has_a_gradient(codes, centroids):
    leaf = torch.from_numpy(codes).requires_grad_()
    q = soft_assignment(leaf, torch.from_numpy(centroids))
    p = sharpen(q.detach())
    found = divergence(p, q)
    expected = rel_entr(p.double().numpy(), q.detach().double().numpy()).sum(1).mean()
    assert float(found.detach()) == pytest.approx(expected, abs=1e-5)
    found.backward()
    assert torch.isfinite(leaf.grad).all()


def test_the_gradient_is_that_of_the_paper():
    """dL/dz_i = 2 sum_j (p_ij - q_ij) (z_i - mu_j) / (1 + ||z_i - mu_j||^2), here over the rows."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    centroids = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    q = soft_assignment(codes, centroids)
    p = sharpen(q.detach())
    divergence(p, q).backward()
    apart = codes.detach()[:, None] - centroids
    factor = (p - q.detach()) / (1 + apart.square().sum(2))
    assert torch.allclose(codes.grad, 2 * (factor[..., None] * apart).sum(1) / 6)


def test_a_zero_in_the_target_is_no_nan():
    q = torch.tensor([[0.5, 0.5]], requires_grad=True)
    found = divergence(torch.tensor([[1.0, 0.0]]), q)
    found.backward()
    assert found.item() == pytest.approx(np.log(2)) and torch.isfinite(q.grad).all()


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    codes, centroids = rng.normal(size=(23, 4)).astype(np.float32), torch.randn(3, 4)
    expected = soft_assignment(torch.from_numpy(codes), centroids)
    monkeypatch.setattr(soft_clusters, "BLOCK", 5 * 12)
    assert torch.equal(soft_assignments(codes, centroids), expected)


def groups(count=3, each=20):
    rng = np.random.default_rng(1)
    centres = 10 * np.eye(count, 4)
    codes = np.repeat(centres, each, axis=0) + rng.normal(0, 0.1, (count * each, 4))
    return codes.astype(np.float32), centres


def test_k_means_starts_where_the_groups_are(monkeypatch):
    codes, centres = groups()
    found = start_centroids(codes, count=3, seed=0)
    assert found.dtype == np.float32
    assert np.allclose(found[np.lexsort(-found.T[::-1])], centres, atol=0.2)
    assert np.array_equal(found, start_centroids(codes, count=3, seed=0))
    monkeypatch.setattr(soft_clusters, "KMEANS_ROWS", 30)
    fewer = start_centroids(codes, count=3, seed=0)
    assert np.allclose(fewer[np.lexsort(-fewer.T[::-1])], centres, atol=0.2)
    assert not np.array_equal(fewer, found)


def test_equal_codes_are_one_cluster_and_few_codes_few(caplog):
    codes, _ = groups()
    assert start_centroids(codes[:1].repeat(9, 0), count=3, seed=0).shape == (1, 4)
    assert "1 clusters instead of 3" in caplog.text
    assert start_centroids(codes[[0, 30]], count=3, seed=0).shape == (2, 4)
    assert start_centroids(np.zeros((4, 2), np.float32), count=2, seed=0).shape == (1, 2)
