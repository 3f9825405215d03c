"""Whether the methods of the cams point at the same places, told without a pixel of truth.

What each further method marks on a slide is held against the first, on which all else is built.
Two numbers, because they fail apart: ranks compare all of the slide, and the top share compares
what pseudo-masks would take as foreground.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

from workflow.lib.evidence.cam_names import CAMS

SHARE = 0.2  # of a slide's locations that are its top; two random tops of that size overlap by 0.11
APART = 0.3  # mean correlation of ranks below which two methods say different things about where
TILES = 4096  # of a slide, evenly spread, that are compared at most: memory does not grow with it
ALONE = "only one method"


def rank_correlation(first: np.ndarray, other: np.ndarray) -> float:
    """Spearman's correlation of two maps (N,), ties with their mean rank; NaN where one is flat."""
    ranks = [rankdata(values) for values in (first, other)]
    if min(rank.std() for rank in ranks) == 0:
        return float("nan")
    return float(np.corrcoef(*ranks)[0, 1])


def top_overlap(first: np.ndarray, other: np.ndarray, share: float = SHARE) -> float:
    """Intersection over union of the top `share` of two maps (N,); NaN where one is flat.

    Locations that tie for the last places share them: each belongs to the top by a part, and the
    smaller and the larger part take the place of intersection and union.
    """
    if np.ptp(first) == 0 or np.ptp(other) == 0:
        return float("nan")
    tops = _top(first, share), _top(other, share)
    return float(np.minimum(*tops).sum() / np.maximum(*tops).sum())


class SlideMaps:
    """The evidence of one slide by several methods, block by block of its tiles.

    tiles: how many are to come
    """

    def __init__(self, tiles: int) -> None:
        self._step, self._seen = max(1, -(-tiles // TILES)), 0
        self._first: list[np.ndarray] = []
        self._others: dict[str, list[np.ndarray]] = defaultdict(list)

    def add(self, first: np.ndarray, others: Mapping[str, np.ndarray]) -> None:
        """Evidence (B, h, w) in 0..1 of the next B tiles, and that of further methods.

        Each of these may have a grid of its own; the mean over each cell of the first is taken.
        """
        count, *cells = first.shape
        chosen = slice(-self._seen % self._step, None, self._step)
        self._seen += count
        self._first.append(first[chosen].ravel())
        for method, evidence in others.items():
            down, across = map(_area_means, cells, evidence.shape[1:])
            self._others[method].append((down @ evidence[chosen] @ across.T).ravel())

    def compare(self) -> dict[str, tuple[float, float]]:
        """Further method -> correlation of ranks and overlap of the tops with the first."""
        first = np.concatenate(self._first)
        others = {method: np.concatenate(kept) for method, kept in self._others.items()}
        return {
            method: (rank_correlation(first, other), top_overlap(first, other))
            for method, other in others.items()
        }


def columns(methods: Sequence[str]) -> list[str]:
    """Columns of the table of pseudo-masks, two for each further method."""
    return [f"{kind}_{method}" for method in methods for kind in ("rank", "top")]


def agreement(
    slides: Sequence[Mapping[str, tuple[float, float]]], methods: Sequence[str]
) -> dict[str, float | None]:
    """Means over the slides of a fold by column, of each of the further `methods`.

    A slide counts where both maps vary; None where there is none.
    """
    found: dict[str, float | None] = {}
    for method in methods:
        pairs = [slide[method] for slide in slides if method in slide]
        pairs = [pair for pair in pairs if not np.isnan(pair).any()]
        means = np.mean(pairs, axis=0).tolist() if pairs else (None, None)
        found[f"rank_{method}"], found[f"top_{method}"] = means
    return found


def warn_apart(found: Mapping, methods: Sequence[str]) -> list[str]:
    """A sentence where further `methods` disagree with the first; `found`: the row of a fold."""
    ranks = {method: found[f"rank_{method}"] for method in methods}
    apart = [
        f"{CAMS[method]} {rank:.2f}"
        for method, rank in ranks.items()
        if rank is not None and rank < APART
    ]
    if not apart:
        return []
    return [
        f"In fold {found['fold']} methods disagree about where with the one that all else builds "
        f"on (correlation of ranks, 1 the same order and 0 chance: {', '.join(apart)}): look at "
        "their maps before anything is refined."
    ]


def shown(row: Mapping[str, str]) -> str:
    """The agreement in a row of the table for the report: ranks and tops of each method."""
    methods = [name.removeprefix("rank_") for name in row if name.startswith("rank_")]
    told = [
        f"{CAMS[method]} {float(row[f'rank_{method}']):.2f}, {float(row[f'top_{method}']):.0%}"
        if row[f"rank_{method}"]
        else f"{CAMS[method]} not defined"
        for method in methods
    ]
    return "; ".join(told) or ALONE


def _area_means(cells: int, size: int) -> np.ndarray:
    """(cells, size): what each of `size` locations in a row adds to the mean over each cell."""
    edges, at = np.arange(cells + 1) * size / cells, np.arange(size)
    shared = np.minimum(edges[1:, None], at + 1) - np.maximum(edges[:-1, None], at)
    return np.clip(shared, 0, None) * cells / size


def _top(values: np.ndarray, share: float) -> np.ndarray:
    """How far each of `values` (N,) belongs to the top `share` of them, 0..1."""
    count = max(1, round(share * len(values)))
    last = np.partition(values, len(values) - count)[len(values) - count]
    above, level = values > last, values == last
    return above + level * (count - above.sum()) / level.sum()
