"""Confidence intervals from resampling patients.

Tiles and pixels of one patient resemble each other, so patients are drawn with replacement, never
tiles (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). A metric that is a function
of sums over patients needs no loop: `weights @ sums` resamples it.
"""

from collections.abc import Callable

import numpy as np

Measured = tuple[float, tuple[float, float]]  # a value and its interval
UNDEFINED = (float("nan"), float("nan"))


def measure(
    metrics: Callable[[np.ndarray], dict[str, np.ndarray]],
    *,
    patients: int,
    replicates: int,
    seed: int,
) -> dict[str, Measured]:
    """Every metric with its 95% interval over patients, NaN where undefined.

    `metrics` takes weights (B, patients), how often each patient counts, and gives (B,) values by
    name. Every patient counts once for the value itself, and as drawn for the interval.
    """
    whole = np.ones((1, patients), np.int64)
    weights = np.concatenate([whole, resample(patients, replicates=replicates, seed=seed)])
    return {
        name: (float(values[0]), interval(values[1:], float(values[0]), patients=patients))
        for name, values in metrics(weights).items()
    }


def resample(patients: int, *, replicates: int, seed: int) -> np.ndarray:
    """How often each patient is drawn in each replicate, (replicates, patients) int64.

    Every row sums to `patients`. The same seed gives the same draws.
    """
    if patients == 0:
        return np.zeros((replicates, 0), np.int64)
    rng = np.random.default_rng(seed)
    return rng.multinomial(patients, np.full(patients, 1 / patients), size=replicates)


def interval(
    replicates: np.ndarray, value: float, *, patients: int, level: float = 0.95
) -> tuple[float, float]:
    """The percentile interval of `value` from its `replicates` (B,), where NaN is undefined.

    (nan, nan) when it would mean nothing: fewer than two patients, a metric undefined in half of
    the replicates or more (a class that one patient alone carries, say), or a value outside of
    its own interval. The last befalls metrics such as NMI and purity, which grow when there are
    fewer different patients, as there are in every replicate.
    """
    values = np.asarray(replicates, np.float64)
    defined = values[np.isfinite(values)]
    if patients < 2 or 2 * defined.size <= values.size:
        return UNDEFINED
    low, high = np.percentile(defined, [50 * (1 - level), 50 * (1 + level)])
    slack = 1e-9 * abs(high)  # the same sum in another order
    return (float(low), float(high)) if low - slack <= value <= high + slack else UNDEFINED


def sum_by(groups: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sum `counts` (N, ...) over rows of the same group: (G, ...), groups in sorted order."""
    names, rows = np.unique(groups, return_inverse=True)
    total = np.zeros((len(names), *counts.shape[1:]), counts.dtype)
    np.add.at(total, rows, counts)
    return total
