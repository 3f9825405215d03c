"""Groups of tiles that look alike to an encoder: PCA whitening, unit length, k-means.

As in DeepCluster (Caron et al., ECCV 2018): features are reduced by PCA, every component is
scaled to unit variance, every row to unit length, and k-means runs on what is left.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import kmeans_plusplus
from sklearn.decomposition import PCA

BLOCK = 1 << 24  # distances held at once: memory does not grow with the number of tiles
FLAT = 1e-5  # of the widest component's deviation: below it a component is rounding, not tissue


@dataclass(frozen=True)
class Clusters:
    """A fitted clustering: mean (D,), components (P, D), scale (P,), centroids (K, P), float32.

    Ids are rows of `centroids`, from the largest cluster to the smallest on the fitted tiles.
    """

    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray
    centroids: np.ndarray


def fit(
    features: np.ndarray, *, clusters: int, pca: int, iterations: int, restarts: int, seed: int
) -> tuple[Clusters, float]:
    """Cluster `features` (N, D): the clusters, and the mean squared distance to the centroids.

    Keeps up to `pca` components: fewer when the features vary in fewer directions. Gives fewer
    than `clusters` clusters only when there are fewer distinct points (then each is a cluster),
    or when a cluster lost its last tile in the last of `iterations`: no cluster is ever empty.
    Raises ValueError without rows, and when a feature is NaN or infinite, naming the row.
    """
    if not len(features):
        raise ValueError("there are no features to cluster")
    check_finite(features)
    features = np.asarray(features, np.float32)
    mean, components, scale = whitening(features, pca=pca)
    points = project(features, mean, components, scale)
    count = min(distinct_rows(features, clusters), distinct_rows(points.round(4) + 0.0, clusters))
    rng = np.random.default_rng(seed)
    runs = [_lloyd(points, count, iterations, int(rng.integers(2**31))) for _ in range(restarts)]
    centroids, ids, loss = min(runs, key=lambda run: run[2])
    sizes = np.bincount(ids, minlength=count)
    order = np.lexsort((*centroids.T[::-1], -sizes))  # by size, equal sizes by their centroid
    order = order[sizes[order] > 0]
    return Clusters(mean, components, scale, centroids[order]), loss


def assign(
    features: np.ndarray, clusters: Clusters, *, first: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest cluster of each row of `features` (N, D): ids (N,) int32, distance (N,) float32.

    The distance is Euclidean between rows of unit length, 0 to 2; of equally near clusters the
    lower id wins. N may be 0. Raises ValueError when the features do not fit the clusters or are
    not finite; it names the tile, where row 0 is tile `first`.
    """
    dimensions = len(clusters.mean)
    if features.ndim != 2 or features.shape[1] != dimensions:
        raise ValueError(f"features are {features.shape}, the clusters need (tiles, {dimensions})")
    check_finite(features, first=first)
    points = project(features, clusters.mean, clusters.components, clusters.scale)
    ids, squared = _nearest(points, clusters.centroids)
    return ids, np.sqrt(squared)


def whitening(features: np.ndarray, *, pca: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), components (P, D) and their standard deviations (P,) of `features` (N, D).

    P is `pca` or the number of directions in which the features vary, whichever is smaller; when
    all rows are equal it is 0.
    """
    rows, dimensions = features.shape
    # With many rows the covariance gives the same result without a basis of (N, P).
    solver = "covariance_eigh" if rows > 4 * dimensions else "full"
    model = PCA(n_components=min(pca, rows, dimensions), svd_solver=solver)
    if (features == features[:1]).all():  # no variance to explain, and none defined for one row
        empty = np.zeros((0, dimensions), np.float32)
        return features[0].astype(np.float32), empty, np.zeros(0, np.float32)
    model.fit(features.astype(np.float64))
    scale = np.sqrt(model.explained_variance_)
    kept = scale > FLAT * max(scale.max(), np.abs(model.mean_).max())
    return (
        model.mean_.astype(np.float32),
        model.components_[kept].astype(np.float32),
        scale[kept].astype(np.float32),
    )


def project(
    features: np.ndarray, mean: np.ndarray, components: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Whitened rows of unit length, (N, P) float32; a row at the mean stays zero."""
    points = ((np.asarray(features, np.float32) - mean) @ components.T) / scale
    length = np.linalg.norm(points, axis=1, keepdims=True)
    return points / np.where(length > 0, length, 1)


def distinct_rows(features: np.ndarray, enough: int) -> int:
    """The number of distinct rows, counted no further than `enough`."""
    seen: set[bytes] = set()
    for row in features:
        seen.add(row.tobytes())
        if len(seen) >= enough:
            break
    return len(seen)


def check_finite(features: np.ndarray, *, first: int = 0) -> None:
    """Raise ValueError naming the first row that holds NaN or infinity; row 0 is tile `first`."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        raise ValueError(
            f"the features of tile {first + bad[0]} are not finite, as of {bad.size} of"
            f" {len(features)} tiles: check the encoder's checkpoint and its precision, then"
            " extract them again"
        )


def _lloyd(
    points: np.ndarray, count: int, iterations: int, seed: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """One k-means run: centroids (K, P), ids (N,), mean squared distance."""
    if count == 1:  # also without a component, where there is nothing to start from
        centroids = points.mean(0, keepdims=True)
    else:
        centroids, _ = kmeans_plusplus(points, count, random_state=seed)
    ids = None
    for _ in range(iterations):
        nearest, _ = _nearest(points, centroids)
        nearest = _fill_empty(points, nearest, count)
        if ids is not None and np.array_equal(nearest, ids):
            break
        ids = nearest
        centroids = _means(points, ids, count)
    nearest, squared = _nearest(points, centroids)
    return centroids, nearest, float(squared.mean(dtype=np.float64))


def _fill_empty(points: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
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


def _means(points: np.ndarray, ids: np.ndarray, count: int) -> np.ndarray:
    rows = np.arange(len(points))
    members = csr_array((np.ones(len(points)), (ids, rows)), shape=(count, len(points)))
    sizes = np.bincount(ids, minlength=count)
    return (members @ points / np.maximum(sizes, 1)[:, None]).astype(np.float32)


def _nearest(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Id (N,) int32 of the nearest centroid and the squared distance to it (N,) float32."""
    ids = np.empty(len(points), np.int32)
    squared = np.empty(len(points), np.float32)
    own = (centroids**2).sum(1)
    step = max(1, BLOCK // len(centroids))
    for start in range(0, len(points), step):
        block = points[start : start + step]
        rows = slice(start, start + len(block))
        ids[rows] = (own - 2 * block @ centroids.T).argmin(1)
        squared[rows] = ((block - centroids[ids[rows]]) ** 2).sum(1)  # exact: 0 for a centroid
    return ids, squared
