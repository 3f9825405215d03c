"""How well scores and predicted classes agree with labels, and how sure that is.

Every function takes weights: how often each item counts in each replicate (B, N). A row of ones
is the metric itself, rows from `bootstrap.resample` are its replicates. Undefined is NaN, never 0.
"""

import numpy as np

BLOCK = 1 << 21  # weighted items held at once, so that memory does not grow with replicates


def ranking(
    scores: np.ndarray, positive: np.ndarray, weights: np.ndarray, items: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision of `scores` (N,) for `positive` (N,) bool, each (B,) float64.

    `weights` is (B, N), or (B, P) with `items` (N,) saying which of the P columns (patients)
    weighs each item. Equal scores count as half for AUROC and as one step for average precision,
    as in scikit-learn. NaN where a replicate holds only one class.
    Raises ValueError when a score is NaN or infinite.
    """
    scores = np.asarray(scores, np.float64)
    if not np.isfinite(scores).all():
        raise ValueError(f"score {int(np.flatnonzero(~np.isfinite(scores))[0])} is not a number")
    auroc, precision = np.full((2, len(weights)), np.nan)
    if not len(scores):
        return auroc, precision
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # ends of ties
    columns = order if items is None else np.asarray(items)[order]
    hit = np.asarray(positive, bool)[order]
    step = max(1, BLOCK // len(scores))
    for start in range(0, len(weights), step):
        rows = slice(start, start + step)
        weight = weights[rows][:, columns].astype(np.float64)
        tp = np.cumsum(weight * hit, axis=1)[:, last]
        fp = np.cumsum(weight * ~hit, axis=1)[:, last]
        gained_tp, gained_fp = (np.diff(sums, axis=1, prepend=0.0) for sums in (tp, fp))
        with np.errstate(invalid="ignore", divide="ignore"):
            below = tp - gained_tp / 2  # positives above a negative, ties by half
            auroc[rows] = (gained_fp * below).sum(1) / (tp[:, -1] * fp[:, -1])
            steps = np.where(gained_tp > 0, gained_tp * tp / (tp + fp), 0.0)
            both = (tp[:, -1] > 0) & (fp[:, -1] > 0)
            precision[rows] = np.where(both, steps.sum(1) / tp[:, -1], np.nan)
    # Sums of weights that are no whole numbers round, on some processors to just above 1.
    return np.minimum(auroc, 1.0), np.minimum(precision, 1.0)


def macro_ranking(
    scores: np.ndarray,
    truth: np.ndarray,
    weights: np.ndarray,
    items: np.ndarray | None = None,
    *,
    positive: int | None = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """AUROC and average precision of `scores` (N, C) for `truth` (N,) int, each (B,).

    Two classes: of the `positive` one. More: the mean over classes, each against the rest; NaN
    where a class is absent, because a mean over fewer classes is another metric.
    """
    classes = [positive] if scores.shape[1] == 2 else range(scores.shape[1])
    each = [ranking(scores[:, c], truth == c, weights, items) for c in classes]
    return np.mean([a for a, _ in each], axis=0), np.mean([p for _, p in each], axis=0)


def balanced_weights(slides: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Weights (N,) float64 with mean 1 that give classes the same weight, and slides of a class.

    slides, labels: (N,) int per tile; a slide has one label.
    """
    _, classes, tiles_of_class = np.unique(labels, return_inverse=True, return_counts=True)
    _, groups, tiles_of_slide = np.unique(slides, return_inverse=True, return_counts=True)
    slides_of_class = np.array(
        [len(np.unique(slides[classes == each])) for each in range(len(tiles_of_class))]
    )
    share = len(tiles_of_class) * slides_of_class[classes] * tiles_of_slide[groups]
    return len(labels) / share


def confusion(
    truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray, *, classes: int
) -> np.ndarray:
    """A confusion table per group, (G, classes, classes) int64: row = truth, column = predicted.

    `groups` (N,) int says which of G = max + 1 groups (patients) each item belongs to.
    """
    tables = int(groups.max()) + 1 if len(groups) else 0
    cells = (groups * classes + truth) * classes + predicted
    return np.bincount(cells, minlength=tables * classes**2).reshape(tables, classes, classes)


def agreement(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Accuracy and balanced accuracy, each (...), of confusion tables (..., C, C).

    Balanced accuracy is the mean recall over the classes that occur; NaN when none does.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        right = np.diagonal(cells, axis1=-2, axis2=-1)
        recall = right / cells.sum(-1)
        return {
            "accuracy": right.sum(-1) / cells.sum((-2, -1)),
            "balanced_accuracy": np.nansum(recall, -1) / np.isfinite(recall).sum(-1),
        }


def curves(scores: np.ndarray, positive: np.ndarray) -> dict[str, np.ndarray]:
    """ROC and precision-recall points of `scores` (N,), one per distinct score, descending.

    Keys threshold, false_positive_rate, recall, precision, each (T,); NaN where undefined.
    """
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf)) if len(scores) else order
    tp, fp = np.cumsum(positive[order])[ends], np.cumsum(~positive[order])[ends]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "threshold": scores[order][ends],
            "false_positive_rate": fp / int((~positive).sum()),
            "recall": tp / int(positive.sum()),
            "precision": tp / (tp + fp),
        }


def clusters_against_labels(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Agreement of clusters with labels from tables of tile counts (..., K, C), each (...).

    nmi: normalised mutual information (arithmetic mean of the entropies); ari: adjusted Rand
    index (Hubert & Arabie, 1985); purity: share of tiles that carry the label most frequent in
    their cluster; chance_purity: the same with one cluster, because purity grows with the number
    of clusters and with imbalance. NaN for an empty table; nmi and ari also where there is only
    one label, with which any clustering agrees or disagrees by convention alone.
    """
    counts = np.asarray(counts, np.float64)
    total = counts.sum((-2, -1))
    by_cluster, by_label = counts.sum(-1), counts.sum(-2)
    with np.errstate(invalid="ignore", divide="ignore"):
        both = counts.reshape(*total.shape, -1)
        entropies = _entropy(by_cluster) + _entropy(by_label)
        nmi = 2 * np.clip(entropies - _entropy(both), 0, None) / entropies
        same_both, same_cluster, same_label = (
            _pairs(each).sum(-1) for each in (both, by_cluster, by_label)
        )
        expected = same_cluster * same_label / _pairs(total)
        ceiling = (same_cluster + same_label) / 2
        ari = np.where(
            np.isclose(ceiling, expected), 1.0, (same_both - expected) / (ceiling - expected)
        )
        compared = (by_label > 0).sum(-1) > 1
        values = {
            "nmi": np.where(compared, nmi, np.nan),
            "ari": np.where(compared, ari, np.nan),
            "purity": counts.max(-1).sum(-1) / total,
            "chance_purity": by_label.max(-1) / total,
        }
    return {name: np.where(total > 0, value, np.nan) for name, value in values.items()}


def _entropy(counts: np.ndarray) -> np.ndarray:
    share = counts / counts.sum(-1, keepdims=True)
    return -np.where(share > 0, share * np.log(np.where(share > 0, share, 1)), 0).sum(-1)


def _pairs(counts: np.ndarray) -> np.ndarray:
    return counts * (counts - 1) / 2
