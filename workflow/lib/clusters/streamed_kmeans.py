"""k-means of more points than are held in memory: a start on a sample, then passes over all."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import faiss
import numpy as np

from workflow.lib.clusters.clusters import nearest
from workflow.lib.clusters.kmeans import distinct_rows, kmeans, sums

log = logging.getLogger(__name__)

PLAIN = 1 << 23  # distances of one pass, points x clusters, up to which every start is k-means++
PER_CLUSTER = 64  # points of the sample per cluster
SAMPLE = 1 << 15  # and its points at least: a few clusters deserve more than that
TOLERANCE = 1e-3  # of the mean squared distance: a pass that gains less is the last


class Blocks(Protocol):
    """Points (N, P) float32 that can be read again and again in blocks; `len` is N."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...


def streamed_kmeans(
    points: Blocks, count: int, *, iterations: int, restarts: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """Centroids (K, P) float32, sizes (K,), mean squared distance over all points.

    The start is found on a sample of 64 points per cluster, then at most `iterations` passes of
    Lloyd's algorithm read all points, until one gains less than a thousandth of the distance.
    Memory is that of the sample and of four (K, P) arrays, whatever the number of points.
    A size is 0 only where a cluster without points could not be split off another in time.
    """
    size = min(len(points), max(PER_CLUSTER * count, SAMPLE))
    drawn = np.sort(rng.choice(len(points), size, replace=False, shuffle=False))
    sample = pick(points, drawn)
    centroids = start(sample, count, iterations=iterations, restarts=restarts, rng=rng)
    del sample
    previous = np.inf
    for turn in range(iterations + 1):
        found = look(points, centroids)
        log.info("Pass %d over all points: mean squared distance %.6g.", turn + 1, found.loss)
        moved, waiting = split(found, centroids)
        gained = previous - found.loss > TOLERANCE * found.loss
        if turn == iterations or not (gained or waiting):
            break
        centroids, previous = moved, found.loss
    return centroids, found.sizes, found.loss


def start(
    sample: np.ndarray, count: int, *, iterations: int, restarts: int, rng: np.random.Generator
) -> np.ndarray:
    """Centroids (K, P) of a `sample` (S, P): plain k-means, or that of faiss where K is large.

    faiss begins with a Markov chain that approaches k-means++ (Bachem et al., NeurIPS 2016), and
    once only: with so many clusters, restarts differ by less than a thousandth of the distance.
    It is deterministic for a seed and a number of threads.
    """
    missing = count - distinct_rows(sample, count, decimals=4)
    if missing:  # the passes over all points will find them
        found = start(sample, count - missing, iterations=iterations, restarts=restarts, rng=rng)
        return np.concatenate([found, np.repeat(found[:1], missing, axis=0)])
    if len(sample) * count <= PLAIN:
        return kmeans(sample, count, iterations=iterations, restarts=restarts, rng=rng)[0]
    model = faiss.Kmeans(
        sample.shape[1],
        count,
        niter=iterations,
        seed=int(rng.integers(2**31)),
        init_method=faiss.ClusteringInitMethod_AFK_MC2,
        early_stop_threshold=TOLERANCE,
        min_points_per_centroid=1,
        max_points_per_centroid=len(sample),  # it is a sample already
    )
    model.train(sample)
    return model.centroids


def pick(points: Blocks, drawn: np.ndarray) -> np.ndarray:
    """The points `drawn` (S,), ascending, as one array (S, P)."""
    found, first = None, 0
    for block in points:
        if found is None:
            found = np.empty((len(drawn), block.shape[1]), np.float32)
        rows = slice(*np.searchsorted(drawn, [first, first + len(block)]))
        found[rows] = block[drawn[rows] - first]
        first += len(block)
    return found


@dataclass(frozen=True)
class Look:
    """One pass: sizes (K,), sums (K, P) float64, mean squared distance, and of every cluster the
    point farthest from its centroid (K, P) with its squared distance (K,)."""

    sizes: np.ndarray
    sums: np.ndarray
    loss: float
    farthest: np.ndarray
    reach: np.ndarray


def look(points: Blocks, centroids: np.ndarray) -> Look:
    """Assign all points once, keeping nothing of the single point."""
    count = len(centroids)
    sizes, total, loss = np.zeros(count, np.int64), np.zeros(centroids.shape), 0.0
    farthest, reach = centroids.copy(), np.zeros(count, np.float32)
    for block in points:
        ids, squared = nearest(block, centroids)
        sizes += np.bincount(ids, minlength=count)
        total += sums(block, ids, count)
        loss += float(squared.sum(dtype=np.float64))
        order = np.argsort(squared, kind="stable")
        last = np.full(count, -1)
        last[ids[order]] = order  # the farthest is written last
        last = last[last >= 0]
        last = last[squared[last] > reach[ids[last]]]
        farthest[ids[last]], reach[ids[last]] = block[last], squared[last]
    return Look(sizes, total, loss / int(sizes.sum()), farthest, reach)


def split(found: Look, centroids: np.ndarray) -> tuple[np.ndarray, bool]:
    """The centroids of the next pass, and whether an empty cluster got one of its own.

    An empty cluster takes the farthest point of the largest cluster as its centroid: in the next
    pass it gets the half of that cluster which is nearer to it. The next empty one takes from the
    next largest. Clusters of equal points cannot be split, and one that stays empty stays.
    """
    moved = (found.sums / np.maximum(found.sizes, 1)[:, None]).astype(np.float32)
    empty = np.flatnonzero(found.sizes == 0)
    moved[empty] = centroids[empty]
    largest = np.argsort(-found.sizes, kind="stable")
    largest = largest[(found.reach[largest] > 0) & (found.sizes[largest] > 1)]
    for gap, full in zip(empty, largest, strict=False):
        moved[gap] = found.farthest[full]
    return moved, bool(len(empty) and len(largest))
