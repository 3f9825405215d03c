"""Ablations: the configs of a study with and without some settings, and how their metrics differ.

Every variant runs once per seed, and a seed draws folds, weights and batches alike for all of them.
So variants are compared seed by seed with the first, the baseline, and the interval is that of the
mean of these differences.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from workflow.lib.jobs.configuration import check_config, merge, schema_faults

PARTS = ("targets", "common", "variants")  # of a file of variants
GIVEN = ("study", "seed")  # settings that tell the runs apart
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


def resolve(settings: object, study: Mapping) -> object:
    """`settings` with what stands in `study` in place of every {study: dotted.key}.

    {study: dotted.key, instead_of: {word: other}} is `other` where the study has `word` there.
    Raises ValueError for a key that the study has not.

    >>> resolve({"a": {"study": "b.c"}}, {"b": {"c": 7}})
    {'a': 7}
    >>> resolve({"study": "b", "instead_of": {"x": {"study": "c"}}}, {"b": "x", "c": "y"})
    'y'
    """
    if not isinstance(settings, Mapping):
        return settings
    if "study" not in settings or not set(settings) <= {"study", "instead_of"}:
        return {key: resolve(value, study) for key, value in settings.items()}
    found: object = study
    for key in str(settings["study"]).split("."):
        if not isinstance(found, Mapping) or key not in found:
            raise ValueError(
                f"the study has no setting {settings['study']}; see config/config.yaml"
            )
        found = found[key]
    others = settings.get("instead_of") or {}
    return resolve(others[found], study) if isinstance(found, str) and found in others else found


def without(plan: object, names: Sequence[str]) -> object:
    """The plan without the variants of these names; what is no plan stays as it is.

    Raises ValueError for a name that is no variant.
    """
    variants = plan.get("variants") if isinstance(plan, Mapping) else None
    if not isinstance(variants, Mapping):
        return plan
    if unknown := [name for name in names if name not in map(str, variants)]:
        raise ValueError(
            f"no variant is called {', '.join(unknown)}; {', '.join(map(str, variants))} are"
        )
    return {**plan, "variants": {k: v for k, v in variants.items() if str(k) not in names}}


def plan_faults(plan: object, *, least: int = 2) -> list[str]:
    """What is wrong with a file of variants, apart from the settings in it, one sentence each.

    least: variants that it needs, a baseline and one to compare with it unless told otherwise.
    """
    if not isinstance(plan, Mapping):
        return ["it holds no targets and no variants; see config/ablations for an example"]
    faults = [f"unknown key {key!r}; known are {', '.join(PARTS)}" for key in set(plan) - {*PARTS}]
    targets, variants = plan.get("targets"), plan.get("variants")
    if not isinstance(targets, list) or not targets:
        faults.append("targets: name at least one metric to compare, with its level")
    else:
        faults += [fault for number, item in enumerate(targets) for fault in _target(number, item)]
    if not isinstance(variants, Mapping) or len(variants) < least:
        baseline = "a baseline and at least one variant to compare with it"
        faults.append(f"variants: name {baseline if least > 1 else 'at least one'}")
        variants = {}
    sections = {"common": plan.get("common"), **{f"variants.{k}": v for k, v in variants.items()}}
    for name, settings in sections.items():
        if not isinstance(settings, Mapping | None):
            faults.append(f"{name}: {settings!r} is not a section with settings; {{}} has none")
        else:
            faults += [
                f"{name}.{key}: every run gets its own; leave it out"
                for key in GIVEN
                if key in (settings or {})
            ]
    return sorted(faults)


def read_targets(plan: Mapping) -> list[Target]:
    """The targets of a plan without faults."""
    return [Target(**target) for target in plan["targets"]]


def variant_configs(study: Mapping, plan: Mapping, seeds: Sequence[int]) -> dict[Run, dict]:
    """The whole config of every run, seed by seed, the baseline first.

    study: a whole config; plan: without faults. Raises ValueError as `resolve` does.
    """
    changes = {
        variant: merge(resolve(plan.get("common") or {}, study), resolve(settings or {}, study))
        for variant, settings in plan["variants"].items()
    }
    return {
        (str(variant), seed): merge(study, own)
        | {"study": f"{study['study']}-{variant}-seed{seed}", "seed": seed}
        for seed in seeds
        for variant, own in changes.items()
    }


def config_faults(configs: Mapping[Run, dict], schema: dict) -> list[str]:
    """What is wrong with the configs of `variant_configs`, with the variant that it is wrong in.

    A variant whose settings are those of another is a fault: it would differ by nothing.
    """
    faults: dict[str, list[str]] = {}
    alike: dict[str, str] = {}
    for (variant, seed), config in configs.items():
        for fault in schema_faults(config, schema) or check_config(config):
            own = faults.setdefault(fault, [])
            own += [variant] * (variant not in own)
        settings = repr((seed, {key: value for key, value in config.items() if key not in GIVEN}))
        if (first := alike.setdefault(settings, variant)) != variant:
            same = f"has the settings of {first} in this study; use --leave-out with one of them"
            faults.setdefault(same, []).append(variant)
    return [f"{', '.join(dict.fromkeys(of))}: {fault}" for fault, of in faults.items()]


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


def _target(number: int, target: object) -> Iterator[str]:
    known = list(Target.__dataclass_fields__)
    if not isinstance(target, Mapping) or not {"level", "metric"} <= set(target) <= {*known}:
        yield f"targets.{number}: {target!r} needs level and metric, may have method, and no more"
    elif not all(isinstance(value, str) for value in target.values()):
        yield f"targets.{number}: level, metric and method are text"


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
