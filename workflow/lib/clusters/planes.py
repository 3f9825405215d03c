"""Tiles on a plane: neighbours in feature space stay neighbours, distances mean little.

t-SNE as in van der Maaten and Hinton, "Visualizing data using t-SNE" (2008), started from the
principal components, as Kobak and Berens recommend in "The art of using t-SNE for single-cell
transcriptomics" (2019); UMAP as in McInnes, Healy and Melville (2018).
"""

import numpy as np
import openTSNE
from sklearn.decomposition import PCA

COMPONENTS = 50  # dimensions that neighbours are sought in
FEW = 10  # points below which there is no neighbourhood to keep
FLAT = 1e-6  # of a feature's size: less spread is rounding
START = 1e-4  # standard deviation that t-SNE starts from, so that early steps can undo it


def place(
    features: np.ndarray, *, method: str, perplexity: float, seed: int
) -> tuple[np.ndarray, str]:
    """Coordinates (N, 2) float64 of tiles with `features` (N, D), and how they came about.

    method is "tsne" or "umap". `perplexity` (of UMAP: the number of neighbours) is lowered to a
    third of the other tiles where there are few. Fewer than 10 tiles are laid out by their first
    two principal components ("pca"), and so are tiles of which fewer than 10 differ. Equal features
    have all coordinates 0. One thread: with another number of them the map is another. Raises
    ValueError when UMAP is asked for and not installed, and for another method.
    """
    if method not in ("tsne", "umap"):
        raise ValueError(f"draw_embeddings.map is {method!r}; write tsne or umap")
    points = reduce(features)
    start = np.zeros((len(points), 2))
    start[:, : points.shape[1]] = points[:, :2]
    if len(np.unique(points.round(6), axis=0)) < FEW:
        return start, "pca"
    perplexity = min(perplexity, (len(points) - 1) / 3)
    if method == "umap":
        return _umap(points, neighbours=max(2, round(perplexity)), seed=seed), method
    model = openTSNE.TSNE(
        perplexity=perplexity,
        initialization=start / start[:, 0].std() * START,
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(model.fit(points), np.float64), method


def reduce(features: np.ndarray) -> np.ndarray:
    """Standardised features (N, D) as their first principal components (N, P) float64, P <= 50.

    A feature that is the same everywhere adds nothing; where all are, P is 0.
    """
    values = np.asarray(features, np.float64)
    if not len(values):
        return np.zeros((0, 0))
    differs = values.std(axis=0) > FLAT * np.abs(values).max(axis=0)
    values = values[:, differs] - values[:, differs].mean(axis=0)
    if not values.shape[1]:
        return np.zeros((len(values), 0))
    values /= values.std(axis=0)
    solver = "covariance_eigh" if len(values) > values.shape[1] else "full"
    return PCA(min(COMPONENTS, *values.shape), svd_solver=solver).fit_transform(values)


def _umap(points: np.ndarray, *, neighbours: int, seed: int) -> np.ndarray:
    try:
        import umap
    except ImportError as error:
        raise ValueError(
            "draw_embeddings.map is umap, which is not installed: `pip install umap-learn`, or "
            "write tsne"
        ) from error
    model = umap.UMAP(n_neighbors=neighbours, random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(points), np.float64)
