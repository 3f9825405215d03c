"""Clusters as they stand once they are fitted, and the nearest one of each tile."""

from dataclasses import dataclass

import numpy as np

from workflow.lib.tiles.rows import check_finite

BLOCK = 1 << 24  # distances held at once: memory does not grow with the number of tiles


@dataclass(frozen=True)
class Clusters:
    """A fitted clustering: mean (D,), components (P, D), scale (P,), centroids (K, P), float32.

    Ids are rows of `centroids`, from the largest cluster to the smallest on the fitted tiles.
    unit: whether rows are brought to unit length before they are compared; a bool, or the scalar
    array that np.load gives of it.
    """

    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray
    centroids: np.ndarray
    unit: bool = True

    def project(self, features: np.ndarray) -> np.ndarray:
        """`features` (N, D) as points (N, P) float32 that are compared with the centroids."""
        return project(features, self.mean, self.components, self.scale, unit=bool(self.unit))


def assign(
    features: np.ndarray, clusters: Clusters, *, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest cluster of each row of `features` (N, D): ids (N,) int32, distance (N,) float32.

    The distance is Euclidean between points, from 0 to 2 where they have unit length; of equally
    near clusters the lower id wins. N may be 0. Raises ValueError when the features do not fit the
    clusters or are not finite; it names the tile, where row 0 is tile `first`.
    """
    dimensions = len(clusters.mean)
    if features.ndim != 2 or features.shape[1] != dimensions:
        raise ValueError(f"features are {features.shape}, the clusters need (tiles, {dimensions})")
    check_finite(features, first=first)
    ids, squared = nearest(clusters.project(features), clusters.centroids)
    return ids, np.sqrt(squared)


def by_size(centroids: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The centroids (K, P) of clusters of `sizes` (K,) that are not empty, the largest first.

    Equal sizes are in the order of their centroids, so that ids do not depend on luck.
    """
    order = np.lexsort((*centroids.T[::-1], -sizes))
    return centroids[order[sizes[order] > 0]]


def project(
    features: np.ndarray,
    mean: np.ndarray,
    components: np.ndarray,
    scale: np.ndarray,
    *,
    unit: bool = True,
) -> np.ndarray:
    """Whitened rows (N, P) float32, of unit length if `unit`; a row at the mean stays zero."""
    points = ((np.asarray(features, np.float32) - mean) @ components.T) / scale
    if not unit:
        return points
    length = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(length > 0, length, 1)


def nearest(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Id (N,) int32 of the nearest centroid and the squared distance to it (N,) float32."""
    ids = np.empty(len(points), np.int32)
    squared = np.empty(len(points), np.float32)
    own = (centroids**2).sum(1)
    step = max(1, BLOCK // len(centroids))
    for start in range(0, len(points), step):
        block = points[start : start + step]
        rows = slice(start, start + len(block))
        distance = (-2 * block) @ centroids.T
        distance += own
        ids[rows] = distance.argmin(1)
        squared[rows] = ((block - centroids[ids[rows]]) ** 2).sum(1)  # exact: 0 for a centroid
    return ids, squared
