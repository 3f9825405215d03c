"""Two studies of the same slides: how their numbers differ, with intervals over patients.

What is easy for one study is easy for the other, so slides are paired and patients drawn for both
at once (Efron and Tibshirani 1993): the interval of a difference is narrower than two intervals
side by side suggest.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from workflow.lib.measures.bootstrap import UNDEFINED, Measured, measure, sum_by
from workflow.lib.measures.label_metrics import macro_ranking

Row = Mapping[str, str]
NAMES = ("a", "b", "difference")  # difference = b - a
NOTHING = dict.fromkeys(NAMES, (float("nan"), UNDEFINED))
SCORE = "score["  # how columns of class scores begin


def paired_mean(
    a: np.ndarray, b: np.ndarray, patients: np.ndarray, *, replicates: int, seed: int
) -> dict[str, Measured]:
    """Means of `a` and of `b` (S,) over slides and of b - a, with intervals over `patients` (S,).

    A slide counts where both have a value that is not NaN; without any, all is NaN.
    """
    known = np.isfinite(a) & np.isfinite(b)
    if not known.any():
        return NOTHING
    columns = np.stack([a, b, b - a, np.ones_like(a)], axis=1)[known]
    sums = sum_by(patients[known], columns)

    def means(weights: np.ndarray) -> dict[str, np.ndarray]:
        totals = weights @ sums  # no replicate is empty: every patient has a slide
        return {name: totals[:, n] / totals[:, 3] for n, name in enumerate(NAMES)}

    return measure(means, patients=len(sums), replicates=replicates, seed=seed)


def paired_auroc(
    a: Sequence[Row], b: Sequence[Row], patients: np.ndarray, *, replicates: int, seed: int
) -> dict[str, Measured]:
    """AUROC of the rows of two tables classifier_slides.tsv, slide by slide the same; b - a.

    Each study by its own labels. All is NaN where classes differ, or a slide has no score.
    """
    columns = [sorted(name for name in rows[0] if name.startswith(SCORE)) for rows in (a, b)]
    if columns[0] != columns[1] or len(columns[0]) < 2:
        return NOTHING
    names = [name.removeprefix(SCORE).removesuffix("]") for name in columns[0]]
    groups, items = np.unique(patients, return_inverse=True)
    scores = [np.array([[number(row[c]) for c in columns[0]] for row in rows]) for rows in (a, b)]
    truth = [np.array([names.index(row["label"]) for row in rows]) for rows in (a, b)]
    if not all(np.isfinite(each).all() for each in scores):
        return NOTHING

    def rank(weights: np.ndarray) -> dict[str, np.ndarray]:
        # Two classes: scores add up to 1, and either class gives the same AUROC.
        first, second = (
            macro_ranking(s, t, weights, items)[0] for s, t in zip(scores, truth, strict=True)
        )
        return dict(zip(NAMES, (first, second, second - first), strict=True))

    return measure(rank, patients=len(groups), replicates=replicates, seed=seed)


def number(cell: str) -> float:
    """A cell of a table; NaN where it is empty."""
    return float(cell) if cell else float("nan")
