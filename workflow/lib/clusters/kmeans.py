"""k-means of points that are held in memory, every start by k-means++ and run to its end."""

from collections.abc import Iterable

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import kmeans_plusplus
from threadpoolctl import threadpool_limits

from workflow.lib.clusters.clusters import nearest

LOOK = 1 << 12  # rows rounded at once to see whether they differ


def kmeans(
    points: np.ndarray, count: int, *, iterations: int, restarts: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """The best of `restarts` runs: centroids (K, P), sizes (K,), mean squared distance.

    `points` (N, P) float32 hold at least K = `count` distinct rows. A cluster that loses its last
    point takes half of the largest; a size is 0 only if that happened in the last iteration.
    """
    runs = [lloyd(points, count, iterations, int(rng.integers(2**31))) for _ in range(restarts)]
    centroids, ids, loss = min(runs, key=lambda run: run[2])
    return centroids, np.bincount(ids, minlength=count), loss


def lloyd(
    points: np.ndarray, count: int, iterations: int, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """One k-means run: centroids (K, P), ids (N,), mean squared distance."""
    if count == 1:  # also without a component, where there is nothing to start from
        centroids = points.mean(0, keepdims=True)
    else:
        with threadpool_limits(1):  # thousands of small products: threads cost ten times the work
            centroids, _ = kmeans_plusplus(points, count, random_state=seed)
    ids = None
    for _ in range(iterations):
        near, _ = nearest(points, centroids)
        near = fill_empty(points, near, count)
        if ids is not None and np.array_equal(near, ids):
            break
        ids = near
        sizes = np.bincount(ids, minlength=count)
        centroids = (sums(points, ids, count) / np.maximum(sizes, 1)[:, None]).astype(np.float32)
    near, squared = nearest(points, centroids)
    return centroids, near, float(squared.mean(dtype=np.float64))


def fill_empty(points: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """Give every empty cluster half of the largest one that can be split.

    The largest cluster loses the tiles that are nearer to its own farthest tile than to its
    centroid; a cluster of equal tiles cannot be split and the next largest is taken.
    """
    ids = ids.copy()
    for empty in np.flatnonzero(np.bincount(ids, minlength=count) == 0):
        for largest in np.argsort(-np.bincount(ids, minlength=count), kind="stable"):
            members = np.flatnonzero(ids == largest)
            if len(members) < 2:
                break
            own = points[members]
            centre = own.mean(0)
            farthest = own[((own - centre) ** 2).sum(1).argmax()]
            moved = ((own - farthest) ** 2).sum(1) < ((own - centre) ** 2).sum(1)
            if moved.any() and not moved.all():
                ids[members[moved]] = empty
                break
    return ids


def sums(points: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    """The sum of the points (N, P) of every cluster, (K, P) float64."""
    rows = np.arange(len(points))
    members = csr_array((np.ones(len(points)), (ids, rows)), shape=(count, len(points)))
    return members @ points


def distinct_rows(
    rows: np.ndarray | Iterable[np.ndarray], enough: int, *, decimals: int | None = None
) -> int:
    """The number of distinct rows, of an array (N, D) or of blocks, counted up to `enough`.

    decimals: round to these first; -0 and 0 are then the same.
    """
    seen: set[bytes] = set()
    for block in [rows] if isinstance(rows, np.ndarray) else rows:
        for start in range(0, len(block), LOOK):
            part = block[start : start + LOOK]
            for row in part if decimals is None else part.round(decimals) + 0.0:
                seen.add(row.tobytes())
                if len(seen) >= enough:
                    return len(seen)
    return len(seen)
