"""Ablations: how the metrics of a study with and without some settings differ.

Every variant runs once per seed, and a seed draws folds, weights and batches alike for all of them.
So variants are compared seed by seed with the first, the baseline, and the interval is that of the
mean of these differences.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import t as student

COLUMNS = (
    *("variant", "seed", "level", "metric", "method", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "seeds", "pairs", "n", "pixel_masks_used"),
)
LEVEL = 0.95  # of the intervals

Run = tuple[str, int]  # variant, seed
Row = dict[str, str]


@dataclass(frozen=True)
class Target:
    """Rows of a metrics table: their level, their metric, how their method begins."""

    level: str
    metric: str
    method: str = ""

    def selects(self, row: Row) -> bool:
        """Whether a row is one of these, over all folds."""
        pooled = (row["fold"], row["split"]) == ("all", "test")
        named = (row["level"], row["metric"]) == (self.level, self.metric)
        return pooled and named and row["method"].startswith(self.method)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """The 95% interval of Student's t for the mean of `values`; NaN for fewer than two."""
    count = len(values)
    if count < 2:
        return math.nan, math.nan
    mean = math.fsum(values) / count
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (count - 1))
    half = float(student.ppf((1 + LEVEL) / 2, count - 1)) * deviation / math.sqrt(count)
    return mean - half, mean + half


def compare(
    finished: Mapping[Run, Sequence[Row]],
    targets: Sequence[Target],
    *,
    variants: Sequence[str],
    seeds: Sequence[int],
) -> list[dict]:
    """Rows with COLUMNS: per target, method and variant one per seed, then one of `all`.

    finished: the metrics table of every run that has one; variants: the first is the baseline.

    The row of a seed has the value of its run with the interval over patients that the run gave,
    and the difference to the baseline of this seed; those of a run without the metric are None. The
    row of all seeds has means and their t-intervals over seeds: `seeds` behind the value, `pairs`
    behind the difference, the fewest slides `n` and the most `pixel_masks_used` of any seed.
    Where a target selects one row of each run, these are compared whatever their methods are
    called; else a method is compared with the one of its name.
    """
    rows = []
    for target in targets:
        for method, found in _quantities(finished, target).items():
            for variant in variants:
                about = {"variant": variant, "level": target.level, "metric": target.metric}
                own = {s: found[variant, s] for s in seeds if (variant, s) in found}
                named = [row["method"] for row in own.values()]
                about["method"] = named[0] if named else method or target.method
                base = {s: found[variants[0], s] for s in seeds if (variants[0], s) in found}
                pairs = base if variant != variants[0] else {}
                of_seeds = [_of_seed(seed, own.get(seed), pairs.get(seed)) for seed in seeds]
                rows += [about | row for row in (*of_seeds, _of_all(of_seeds))]
    return [{column: row[column] for column in COLUMNS} for row in rows]


def _quantities(finished: Mapping[Run, Sequence[Row]], target: Target) -> dict[str, dict[Run, Row]]:
    """Method -> run -> row with a value; one method, "", where no run has several."""
    selected = {run: list(filter(target.selects, rows)) for run, rows in finished.items()}
    alone = all(len(rows) < 2 for rows in selected.values())
    found: dict[str, dict[Run, Row]] = {}
    for run, rows in selected.items():
        for row in rows:
            found.setdefault("" if alone else row["method"], {})[run] = row
    return dict(sorted(found.items()))


def _of_seed(seed: int, row: Row | None, base: Row | None) -> dict:
    value, reference = _number(row, "value"), _number(base, "value")
    paired = value is not None and reference is not None
    return {
        "seed": seed,
        "value": value,
        "low": _number(row, "ci_low"),
        "high": _number(row, "ci_high"),
        "difference": value - reference if paired else None,
        "difference_low": None,
        "difference_high": None,
        "seeds": int(value is not None),
        "pairs": int(paired),
        "n": row and int(row["n"]),
        "pixel_masks_used": row and int(row["pixel_masks_used"]),
    }


def _of_all(rows: Sequence[dict]) -> dict:
    found: dict = {"seed": "all"}
    for name, low, high, count in (
        ("value", "low", "high", "seeds"),
        ("difference", "difference_low", "difference_high", "pairs"),
    ):
        values = [row[name] for row in rows if row[name] is not None]
        found[name] = math.fsum(values) / len(values) if values else None
        found[low], found[high] = t_interval(values)
        found[count] = len(values)
    measured = [row for row in rows if row["value"] is not None]
    found["n"] = min((row["n"] for row in measured), default=None)
    found["pixel_masks_used"] = max((row["pixel_masks_used"] for row in measured), default=None)
    return found


def _number(row: Row | None, column: str) -> float | None:
    return float(row[column]) if row and row[column] else None
