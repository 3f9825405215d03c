"""Clusters that a tile belongs to by degrees, so that a network can learn to belong more clearly.

Xie et al., "Unsupervised deep embedding for clustering analysis", ICML 2016, as DCEC uses them.
"""

import logging

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits
from torch.nn import functional

from workflow.lib.clusters.kmeans import distinct_rows

log = logging.getLogger(__name__)

STARTS = 20  # of k-means, as published
KMEANS_ROWS = 100_000  # codes that k-means looks at: so many tell where the centroids are
BLOCK = 1 << 24  # differences between codes and centroids held at once


def soft_assignment(codes: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """How much each code (B, E) belongs to each centroid (K, E): q (B, K), rows add up to 1.

    q_ij is proportional to 1 / (1 + ||z_i - mu_j||^2): Student's t with one degree of freedom.
    """
    kernel = 1 / (1 + (codes[:, None] - centroids).square().sum(dim=2))
    return kernel / kernel.sum(dim=1, keepdim=True)


@torch.no_grad()
def soft_assignments(codes: np.ndarray, centroids: torch.Tensor) -> torch.Tensor:
    """The same of all tiles: codes (N, E) float32 in memory, q (N, K) float32 on the CPU."""
    blocks = torch.from_numpy(codes).split(max(1, BLOCK // centroids.numel()))
    found = [soft_assignment(block.to(centroids.device), centroids).cpu() for block in blocks]
    return torch.cat(found)


def sharpen(q: torch.Tensor) -> torch.Tensor:
    """The target p (N, K) of the soft assignment q (N, K) of all tiles; rows add up to 1.

    p_ij is proportional to q_ij^2 / sum_i q_ij: sure tiles count more, large clusters less.
    """
    weight = q.square().div_(q.sum(dim=0))
    return weight.div_(weight.sum(dim=1, keepdim=True))


def divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(P || Q) of p and q (B, K), the mean over rows; p may hold zeros."""
    return functional.kl_div(q.log(), p, reduction="batchmean")


def start_centroids(codes: np.ndarray, *, count: int, seed: int) -> np.ndarray:
    """Centroids (K, E) float32 of k-means on codes (N, E), the best of 20 starts.

    K is less than `count`, and a warning says so, where fewer codes differ by more than rounding.
    Of more than 100,000 codes so many are drawn at random.
    """
    rng = np.random.default_rng(seed)
    if len(codes) > KMEANS_ROWS:
        codes = codes[np.sort(rng.permutation(len(codes))[:KMEANS_ROWS])]
    widest = np.abs(codes).max() or 1.0
    distinct = distinct_rows(codes / widest, count, decimals=4)
    if distinct < count:
        log.warning(
            "%d clusters instead of %d, because no more tiles differ in their codes.",
            distinct,
            count,
        )
    with threadpool_limits(1):  # several threads add up in any order: other bits in every run
        model = KMeans(distinct, n_init=STARTS, random_state=seed).fit(codes)
    return model.cluster_centers_.astype(np.float32)
