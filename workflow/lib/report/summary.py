"""What a study came to: the few numbers and the tables that its report shows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.jobs.names import BAGS, METHODS, SUPERVISED

Row = dict[str, str]

# metric of metrics.tsv -> how the report calls it
OVERLAPS = {"dice_fg": "Dice", "iou_fg": "IoU", "miou": "mean IoU"}
RULES = {
    "otsu_val": "Otsu's",
    "best_val": "best mean IoU",
}
LABEL_METRICS = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
}
CLUSTER_METRICS = {
    "nmi": "NMI",
    "ari": "ARI",
    "purity": "purity",
    "chance_purity": "purity of one cluster",
    "nmi_patient": "NMI with patients",
    "nmi_site": "NMI with sites",
}


@dataclass(frozen=True)
class Cohort:
    """How much there is in a study."""

    slides: int
    patients: int
    folds: int  # 0 where nothing is held out
    used: int
    tiles: int
    tissue_mm2: float
    clusters: int
    shared: int  # clusters with tiles of more than one patient


def name_methods(methods: Iterable[str], cam: str = "cam") -> dict[str, str]:
    """Method -> how the report calls it; the bare cam, which the others have to beat, first.

    cam: the method of the maps that `none` shows and all decoders build on. Others follow it.
    """
    known = list(METHODS)
    ordered = sorted(set(methods), key=lambda m: (known.index(m) if m in known else len(known), m))
    done = {"none": "unrefined", "morphology": "cleaned", "crf": "CRF"}
    names = METHODS | {method: f"{CAMS[cam]}, {what}" for method, what in done.items()}
    return {method: names.get(method, method) for method in ordered}


def find(metrics: Iterable[Row], **wanted: str) -> Row | None:
    """The first row of a metrics table whose cells are as wanted."""
    return next((row for row in metrics if all(row[k] == v for k, v in wanted.items())), None)


def value_of(row: Row | None, digits: int = 2) -> str:
    """A value as people write it.

    >>> value_of({"value": "0.91234"}), value_of({"value": ""}), value_of(None)
    ('0.91', 'not defined', 'not defined')
    """
    return _rounded(row["value"], digits) if row and row["value"] else "not defined"


def interval_of(row: Row | None, digits: int = 2) -> str:
    """An interval as people write it, "" where there is none.

    >>> interval_of({"value": "0.9", "ci_low": "-0.001", "ci_high": "0.95"})
    '[0.00, 0.95]'
    """
    if row is None or not row["value"] or not row["ci_low"]:
        return ""
    return f"[{_rounded(row['ci_low'], digits)}, {_rounded(row['ci_high'], digits)}]"


def with_interval(row: Row | None, digits: int = 2) -> str:
    """A value and its interval.

    >>> with_interval({"value": "0.91234", "ci_low": "0.8", "ci_high": "0.95"})
    '0.91 [0.80, 0.95]'
    """
    return f"{value_of(row, digits)} {interval_of(row, digits)}".strip()


def five_numbers(metrics: Sequence[Row], cohort: Cohort, config: dict) -> list[dict]:
    """The study in five numbers: value, interval, title, note.

    How much was looked at comes first, then how well labels and pixels were told. What was not
    measured (no masks, no labels) gives way to what there is. Pixels are those of the bare cam and
    of the last method that learnt from no pixel mask and no point.
    """
    tiling, level = config["tile_slide"], config["labels"]["level"]
    size = f"{tiling['tile_px']} px at {tiling['mpp']:g} µm per pixel"
    quarantined = f"{cohort.slides - cohort.used} quarantined"
    material = [
        _number(f"{cohort.used} of {cohort.slides}", "slides used", quarantined),
        _number(f"{cohort.tiles:,}", "tiles", size),
    ]
    labels, classified = [], [row for row in metrics if row["method"].startswith("classifier")]
    for name, title in LABEL_METRICS.items():
        row = find(classified, fold="all", level=level, metric=name)
        if row and row["value"]:
            note = f"labels of {row['n']} slides, out of fold{_masks(row)}"
            labels.append(_measured(row, title, note))
    pixels = []
    maps = [row for row in metrics if _is_pooled(row, "pixel") and row["value"]]
    marked = (*SUPERVISED, "points")  # somebody has said where
    learnt_blind = (row["method"] for row in maps if row["method"] not in marked)
    methods = name_methods(learnt_blind, config["make_cams"]["methods"][0])
    for method in dict.fromkeys([*methods][:1] + [*methods][-1:]):
        if row := find(maps, metric="pxap", method=method):
            chance = value_of(find(maps, metric="pxap_chance", method=method), 1)
            note = f"of 100, pixels of {row['n']} slides; chance is {chance}{_masks(row)}"
            pixels.append(_measured(row, f"PxAP of {methods[method]}", note, digits=1))
    groups = [
        _number(f"{cohort.tissue_mm2:,.1f} mm²", "tissue", "on the slides used"),
        _number(str(cohort.clusters), "clusters", "of the tiles of all slides"),
        _number(
            f"{cohort.shared} of {cohort.clusters}",
            "clusters of several patients",
            "one of a single patient may be a stain",
        ),
    ]
    return [*material, *labels[:1], *pixels, *labels[1:], *groups][:5]


def threshold_table(metrics: Sequence[Row], methods: Mapping[str, str]) -> list[dict]:
    """How each method is parted in two, one row per method, pooled over the folds.

    method, uncovered, and `rules`: per way to choose a threshold its name, the thresholds of the
    folds, the slides that they parted, how many pixel masks took part in the choice, and the
    overlaps.
    """
    table = []
    for method, name in methods.items():
        own = [row for row in metrics if (row["level"], row["method"]) == ("pixel", method)]
        rows = {row["metric"]: row for row in own if row["fold"] == "all"}
        if not rows:
            continue
        rules = [rule for rule in RULES if any(metric.endswith(f"@{rule}") for metric in rows)]
        table.append(
            {
                "method": name,
                "uncovered": with_interval(rows.get("truth_uncovered")),
                "rules": [_rule(rule, rows, own) for rule in rules] or [_rule("", {}, [])],
            }
        )
    return table


def label_table(metrics: Sequence[Row]) -> list[dict]:
    """One row per level and fold of the classifier: level, fold, n, cells; all folds last.

    Where slides were also scored as bags, the rows of that follow.
    """
    return _by_fold(metrics, LABEL_METRICS, "classifier") + [
        row | {"level": f"{row['level']}, {told}"}
        for method, told in BAGS.values()
        for row in _by_fold(metrics, LABEL_METRICS, method)
    ]


def cluster_table(metrics: Sequence[Row], clustering: str) -> list[dict]:
    """The same for how the clusters agree with labels, patients and sites, as far as measured."""
    measured = {row["metric"] for row in metrics if row["method"] == clustering}
    names = {name: title for name, title in CLUSTER_METRICS.items() if name in measured}
    return _by_fold(metrics, names, clustering)


def confusion_counts(metrics: Sequence[Row], level: str, classes: Sequence[str]) -> list[list[int]]:
    """Pooled counts of the classifier, true classes in rows; [] when nothing was classified."""
    cells = {
        row["metric"]: row["value"]
        for row in metrics
        if _is_pooled(row, level) and row["method"].startswith("classifier")
    }
    names = [[f"confusion[true={t},predicted={p}]" for p in classes] for t in classes]
    if not classes or names[0][0] not in cells:
        return []
    return [[round(float(cells[name])) for name in line] for line in names]


def _rounded(number: str, digits: int) -> str:
    return f"{round(float(number), digits) + 0.0:.{digits}f}"  # 0.0 takes the sign off a -0


def _rule(rule: str, rows: dict[str, Row], own: Sequence[Row]) -> dict:
    metric = f"threshold@{rule}"
    chosen = sorted({row["value"] for row in own if row["metric"] == metric and row["value"]})
    cells = {title: rows.get(f"{name}@{rule}") for name, title in OVERLAPS.items()}
    row = next((row for row in cells.values() if row), {})
    return {
        "rule": RULES.get(rule, "none could be chosen"),
        "thresholds": ", ".join(f"{float(value):.2f}" for value in chosen),
        "n": row.get("n", ""),
        "masks": row.get("pixel_masks_used", ""),
        "cells": {title: with_interval(row) for title, row in cells.items()},
    }


def _by_fold(metrics: Sequence[Row], names: dict[str, str], method: str) -> list[dict]:
    found: dict[tuple, dict[str, Row]] = defaultdict(dict)
    for row in metrics:
        if row["method"].startswith(method) and row["metric"] in names:
            last = row["fold"] == "all"
            found[row["level"], last, 0 if last else int(row["fold"])][row["metric"]] = row
    return [
        {
            "level": level,
            "fold": "all folds" if last else f"fold {fold}",
            "n": next(iter(rows.values()))["n"],
            "cells": {title: with_interval(rows.get(name)) for name, title in names.items()},
        }
        for (level, last, fold), rows in sorted(found.items())
    ]


def _is_pooled(row: Row, level: str) -> bool:
    return (row["fold"], row["level"]) == ("all", level)


def _masks(row: Row) -> str:
    used = row["pixel_masks_used"]
    return "" if used in ("", "0") else f"; {used} pixel masks used"


def _measured(row: Row, title: str, note: str, digits: int = 2) -> dict:
    return _number(value_of(row, digits), title, note, interval_of(row, digits))


def _number(value: str, title: str, note: str, interval: str = "") -> dict:
    return {"value": value, "interval": interval, "title": title, "note": note}
