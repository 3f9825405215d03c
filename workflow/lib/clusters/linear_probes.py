"""What a linear classifier can read from a layer of a frozen network.

The usual judge of features learnt without labels (Zhang et al., Colorful Image Colorization, ECCV
2016; DeepCluster, ECCV 2018): fit a linear classifier to each layer, score what it never saw. The
same network with random weights is judged beside it, because a random layer is no empty one.
"""

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from workflow.lib.measures.label_metrics import balanced_weights, macro_ranking

STEPS = 2000  # of the solver at most; it needs some dozens on standardised features


class Probe(NamedTuple):
    """Which layer of which network: "trained", "start" or "random", the last with its seed."""

    network: str
    seed: int | None
    layer: str
    dim: int


def draw_tiles(slides: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """At most `count` of the N tiles that lie on `slides` (N,) int; their rows, sorted.

    Every slide deals its tiles in random order, one a turn, so that a slide with few tiles keeps
    them and no slide crowds out another.
    """
    order = np.random.default_rng(seed).permutation(len(slides))
    dealt = order[np.argsort(slides[order], kind="stable")]  # slide after slide
    turn = np.empty(len(slides), np.int64)
    sizes = np.unique(slides, return_counts=True)[1]
    turn[dealt] = np.arange(len(slides)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.sort(order[np.argsort(turn[order], kind="stable")[:count]])


def fit_probe(
    features: np.ndarray, labels: np.ndarray, slides: np.ndarray, *, penalty: float
) -> Pipeline:
    """A logistic regression on the standardised features (N, D) of tiles, as a scikit-learn model.

    It minimises the cross entropy, summed over tiles with `balanced_weights`, plus penalty / 2
    times the squared length of the coefficients. labels, slides: (N,) int. Columns of its
    probabilities are the labels that occur, ascending.
    Raises ValueError, without classes to part, when fewer than two labels occur.
    """
    if len(np.unique(labels)) < 2:
        raise ValueError("a probe needs training tiles of two classes at least")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / penalty, max_iter=STEPS))
    weights = balanced_weights(slides, labels)
    return model.fit(
        np.asarray(features, np.float64), labels, logisticregression__sample_weight=weights
    )


def pool_slides(
    scores: np.ndarray, slides: np.ndarray, *, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean scores (S, C) of the slides that have tiles, and which of `count` slides these are (S,).

    scores: (N, C) of tiles, slides: (N,) int.
    """
    tiles = np.bincount(slides, minlength=count)
    sums = np.zeros((count, scores.shape[1]))
    np.add.at(sums, slides, scores)
    present = np.flatnonzero(tiles)
    return sums[present] / tiles[present, None], present


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """AUROC of `scores` (N, C) for `labels` (N,) int, of more than two classes the mean; or NaN."""
    return float(macro_ranking(scores, labels, np.ones((1, len(labels))))[0][0])
