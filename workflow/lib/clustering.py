"""Groups of tiles that look alike to an encoder: PCA whitening, unit length, k-means.

As in DeepCluster (Caron et al., ECCV 2018): features are reduced by PCA, every component is
scaled to unit variance, every row to unit length, and k-means runs on what is left.
"""

from dataclasses import dataclass

import numpy as np

from workflow.lib.kmeans import distinct_rows, kmeans, nearest
from workflow.lib.rows import Rows, check_finite
from workflow.lib.streamed_kmeans import PLAIN, Blocks, streamed_kmeans
from workflow.lib.whitening import Points, project, whitening

HELD = 1 << 27  # bytes of features, and of points, that are held in memory: more is streamed


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


def fit(
    features: np.ndarray | Rows,
    *,
    clusters: int,
    pca: int,
    iterations: int,
    restarts: int,
    seed: int,
) -> tuple[Clusters, float]:
    """Cluster `features` (N, D): the clusters, and the mean squared distance to the centroids.

    Keeps up to `pca` components: fewer when the features vary in fewer directions. Gives fewer
    than `clusters` clusters only when there are fewer distinct points (then each is a cluster),
    or when a cluster lost its last tile in the last of `iterations`: no cluster is ever empty.

    Features up to 128 MiB (HELD) are held in memory; above, they are read block by block, as often
    as k-means passes over them, unless the points (N, P) fit. Points that are held are clustered by
    plain k-means, each of `restarts` runs from k-means++ to its end, up to 2^23 distances a pass
    (PLAIN, N x K). There, at 256 dimensions, a run takes 4 CPU seconds, as much as the other way,
    and below it comes up to 1 % nearer; above, k-means++ costs more than all that follows. The
    other way is streamed_kmeans: a start on a sample, by faiss where the sample is large too.

    Raises ValueError without rows, and when a feature is NaN or infinite, naming the row.
    """
    if not len(features):
        raise ValueError("there are no features to cluster")
    if not isinstance(features, Rows):
        check_finite(features)
        features = Rows({"": features})
    small = len(features) * features.dimension * 4 <= HELD
    held = np.concatenate(list(features)) if small else features
    white = whitening(held, pca=pca)
    if small:
        points = project(held, *white)
    elif len(features) * len(white[2]) * 4 <= HELD:
        points = np.concatenate(list(Points(features, *white)))
    else:
        points = Points(features, *white)
    count = distinct_rows(held, clusters)
    count = min(count, distinct_rows(points, clusters, decimals=4))
    centroids, loss = group(points, count, iterations=iterations, restarts=restarts, seed=seed)
    return Clusters(*white, centroids), loss


def group(
    points: np.ndarray | Blocks, count: int, *, iterations: int, restarts: int, seed: int
) -> tuple[np.ndarray, float]:
    """k-means of `points` (N, P): centroids (K, P), largest cluster first, and the mean squared
    distance. `count` is at most the number of distinct points; see fit for the rest.
    """
    rng = np.random.default_rng(seed)
    if isinstance(points, np.ndarray) and len(points) * count <= PLAIN:
        found = kmeans(points, count, iterations=iterations, restarts=restarts, rng=rng)
    else:
        blocks = Rows({"": points}) if isinstance(points, np.ndarray) else points
        found = streamed_kmeans(blocks, count, iterations=iterations, restarts=restarts, rng=rng)
    centroids, sizes, loss = found
    order = np.lexsort((*centroids.T[::-1], -sizes))  # by size, equal sizes by their centroid
    return centroids[order[sizes[order] > 0]], loss


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
