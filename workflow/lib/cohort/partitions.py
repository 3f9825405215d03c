"""Ways to part slides that belong to groups, stratified by label.

Snakemake imports this whenever it parses, so scikit-learn is imported only where it is used.
"""

import warnings
from collections.abc import Iterator

import numpy as np

# What is tried before a cohort counts as too small to split: stratified shuffles, then plain draws,
# because the stratifier is greedy and misses the only good division of a handful of patients.
SHUFFLES, DRAWS = 10, 100


def partitions(
    labels: np.ndarray, groups: np.ndarray, parts: int, seed: int
) -> Iterator[list[np.ndarray]]:
    """Ways to part the slides (bool per part), whole groups, no part empty; the best ways first."""
    from sklearn.model_selection import StratifiedGroupKFold

    for shuffle in range(SHUFFLES):
        folds = StratifiedGroupKFold(parts, shuffle=True, random_state=(seed + shuffle) % 2**32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # rare classes: who calls counts them
            try:
                drawn = [test for _, test in folds.split(labels, labels, groups)]
            except ValueError:  # more parts than slides in the largest class
                break
        if all(len(part) for part in drawn):
            yield [np.isin(np.arange(len(labels)), part) for part in drawn]
    names, which = np.unique(groups, return_inverse=True)
    random = np.random.default_rng(seed)
    for _ in range(DRAWS):
        part_of = random.integers(parts, size=len(names))[which]
        if len(np.unique(part_of)) == parts:
            yield [part_of == part for part in range(parts)]


def draw_validation(
    labels: np.ndarray, patients: np.ndarray, val_fraction: float, seed: int, classes: set[str]
) -> np.ndarray | None:
    """Which slides validate (bool): whole patients, every class on both sides, the best in size."""
    members = np.array([labels == name for name in sorted(classes)])
    if any(len(set(patients[member])) < 2 for member in members):
        return None
    most = min(max(2, round(1 / val_fraction)), len(set(patients)))
    for parts in range(most, 1, -1):
        for drawn in partitions(labels, patients, parts, seed):
            good = [p for p in drawn if set(labels[p]) == classes == set(labels[~p])]
            if good:
                shares = [(members & part).sum(axis=1) / members.sum(axis=1) for part in good]
                return good[int(np.argmin([np.abs(s - val_fraction).sum() for s in shares]))]
    return None
