"""PCA whitening: the directions in which features vary, each scaled to unit variance."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

from workflow.lib.clusters.clusters import project
from workflow.lib.tiles.rows import Rows

FLAT = 1e-5  # of the widest component's deviation: below it a component is rounding, not tissue


def whitening(
    features: np.ndarray | Rows, *, pca: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), components (P, D) and their standard deviations (P,) of `features` (N, D).

    P is `pca` or the number of directions in which the features vary, whichever is smaller; when
    all rows are equal it is 0. Rows are read once, block by block, and give what scikit-learn's
    PCA gives of the whole array, signs included.
    """
    if isinstance(features, Rows):
        return _streamed(features, pca)
    rows, dimensions = features.shape
    # With many rows the covariance gives the same result without a basis of (N, P).
    solver = "covariance_eigh" if rows > 4 * dimensions else "full"
    model = PCA(n_components=min(pca, rows, dimensions), svd_solver=solver)
    if (features == features[:1]).all():  # no variance to explain, and none defined for one row
        empty = np.zeros((0, dimensions), np.float32)
        return features[0].astype(np.float32), empty, np.zeros(0, np.float32)
    model.fit(features.astype(np.float64))
    return _kept(model.mean_, model.components_, np.sqrt(model.explained_variance_))


def covariance(blocks: Iterable[np.ndarray]) -> tuple[int, np.ndarray, np.ndarray]:
    """Number of rows, mean (D,) and covariance (D, D), float64, of `blocks` (B, D) in one pass.

    Blocks are centred on their own mean before they are multiplied, and joined as in Chan, Golub
    and LeVeque (The American Statistician 1983): exact however far the features are from zero.
    The covariance is divided by N - 1, for one row by 1. Raises ValueError without a row.
    """
    count, mean, scatter = 0, 0.0, 0.0
    for block in blocks:
        rows = block.astype(np.float64)
        centre = rows.mean(0)
        rows -= centre
        joined = count + len(rows)
        apart = centre - mean
        scatter = scatter + rows.T @ rows
        scatter += np.outer(apart, apart) * (count * len(rows) / joined)
        mean = mean + apart * (len(rows) / joined)
        count = joined
    if not count:
        raise ValueError("there are no features to cluster")
    return count, mean, scatter / max(1, count - 1)


@dataclass(frozen=True)
class Points:
    """`rows` whitened to unit length whenever they are read: blocks (B, P) float32."""

    rows: Rows
    mean: np.ndarray
    components: np.ndarray
    scale: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.rows:
            yield project(block, self.mean, self.components, self.scale)


def _streamed(rows: Rows, pca: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count, mean, covariant = covariance(rows)
    values, vectors = np.linalg.eigh(covariant)
    most = min(pca, count, len(mean))
    components = vectors.T[::-1][:most]
    largest = np.abs(components).argmax(1)[:, None]
    components = components * np.sign(np.take_along_axis(components, largest, 1))
    return _kept(mean, components, np.sqrt(np.maximum(values[::-1][:most], 0)))


def _kept(
    mean: np.ndarray, components: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Without the components that are rounding; float32."""
    kept = scale > FLAT * max(scale.max(), np.abs(mean).max())
    return (
        mean.astype(np.float32),
        components[kept].astype(np.float32),
        scale[kept].astype(np.float32),
    )
