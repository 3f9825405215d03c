"""Groups of tiles that look alike to an encoder: PCA whitening, unit length, k-means.

As in DeepCluster (Caron et al., ECCV 2018): features are reduced by PCA, every component is
scaled to unit variance, every row to unit length, and k-means runs on what is left.
"""

import numpy as np

from workflow.lib.clusters.clusters import Clusters, by_size, project
from workflow.lib.clusters.kmeans import distinct_rows, kmeans
from workflow.lib.clusters.streamed_kmeans import PLAIN, Blocks, streamed_kmeans
from workflow.lib.clusters.whitening import Points, whitening
from workflow.lib.tiles.rows import Rows, check_finite

HELD = 1 << 27  # bytes of features, and of points, that are held in memory: more is streamed


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
    return by_size(centroids, sizes), loss
