"""What a study came to: the few numbers, tables and lines that its report shows."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

Row = dict[str, str]
METHODS = {"none": "CAM, unrefined", "negev": "NEGEV"}

# metric of metrics.tsv -> how the report calls it
PIXEL_METRICS = {
    "pxap": "PxAP",
    "pxap_chance": "PxAP by chance",
    "dice_fg@otsu_val": "Dice",
    "iou_fg@otsu_val": "IoU",
    "miou@otsu_val": "mean IoU",
    "dice_fg@best_val": "Dice, best threshold",
    "miou@best_val": "mean IoU, best threshold",
    "truth_uncovered": "truth outside the tiles",
}
LABEL_METRICS = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
}


def find(metrics: Iterable[Row], **wanted: str) -> Row | None:
    """The first row of a metrics table whose cells are as wanted."""
    return next((row for row in metrics if all(row[k] == v for k, v in wanted.items())), None)


def with_interval(row: Row | None, digits: int = 2) -> str:
    """A value and its interval as people write them.

    >>> with_interval({"value": "0.91234", "ci_low": "0.8", "ci_high": "0.95"})
    '0.91 [0.80, 0.95]'
    """
    if row is None or row["value"] == "":
        return "not defined"
    text = f"{float(row['value']):.{digits}f}"
    if row["ci_low"] == "":
        return text
    return f"{text} [{float(row['ci_low']):.{digits}f}, {float(row['ci_high']):.{digits}f}]"


def method_table(metrics: Sequence[Row], methods: Sequence[str]) -> list[dict]:
    """One row per refinement method, pooled over the folds: name, cells, masks used by each."""
    table = []
    for method in methods:
        rows = {row["metric"]: row for row in metrics if _is_pooled(row, "pixel", method)}
        if rows:
            cells = {
                title: (
                    with_interval(rows.get(name), 1 if name.startswith("pxap") else 2),
                    int((rows.get(name) or {}).get("pixel_masks_used") or 0),
                )
                for name, title in PIXEL_METRICS.items()
            }
            table.append({"method": METHODS.get(method, method), "cells": cells})
    return table


def label_table(metrics: Sequence[Row]) -> list[dict]:
    """One row per level and fold of the classifier: level, fold, n, cells."""
    found = defaultdict(dict)
    for row in metrics:
        if row["method"].startswith("classifier") and row["metric"] in LABEL_METRICS:
            found[row["level"], row["fold"]][row["metric"]] = row
    return [
        {
            "level": level,
            "fold": "all folds" if fold == "all" else f"fold {fold}",
            "n": next(iter(rows.values()))["n"],
            "cells": [with_interval(rows.get(name)) for name in LABEL_METRICS],
        }
        for (level, fold), rows in sorted(found.items(), key=lambda item: (item[0][0], item[0][1]))
    ]


def confusion_counts(metrics: Sequence[Row], level: str, classes: Sequence[str]) -> list[list[int]]:
    """Pooled counts, true classes in rows; [] when nothing was classified."""
    cells = {row["metric"]: row["value"] for row in metrics if _is_pooled(row, level)}
    names = [[f"confusion[true={t},predicted={p}]" for p in classes] for t in classes]
    if not classes or names[0][0] not in cells:
        return []
    return [[round(float(cells[name])) for name in line] for line in names]


def usage_table(records: Iterable[dict]) -> list[dict]:
    """What the jobs of each rule cost together, and where they ran, slowest rule first."""
    rules = defaultdict(list)
    for record in records:
        rules[record["rule"]].append(record)
    table = [
        {
            "rule": rule,
            "jobs": len(runs),
            "seconds": sum(run["seconds"] for run in runs),
            "cpu_seconds": sum(run["cpu_seconds"] for run in runs),
            "max_rss_mb": max(run["max_rss_mb"] for run in runs),
            "hosts": ", ".join(sorted({run["host"] for run in runs})),
        }
        for rule, runs in rules.items()
    ]
    return sorted(table, key=lambda row: -row["seconds"])


def _is_pooled(row: Row, level: str, method: str | None = None) -> bool:
    return (row["fold"], row["level"]) == ("all", level) and method in (None, row["method"])


def five_numbers(
    metrics: Sequence[Row], checked: Sequence[Row], methods: Sequence[str], config: dict, tiles: int
) -> list[dict]:
    """The study in five numbers: title, value, note."""
    good = [row for row in checked if row["verdict"].startswith("ok")]
    numbers = [
        _number(
            f"{len(good)} of {len(checked)}",
            "slides used",
            f"{len(checked) - len(good)} quarantined",
        ),
        _number(f"{tiles:,}", "tiles", f"{config['tile_slide']['tile_px']} px at "
                f"{config['tile_slide']['mpp']} µm per pixel"),
    ]  # fmt: skip
    level = config["labels"]["level"]
    for name, title in list(LABEL_METRICS.items())[:1]:
        if row := find(metrics, level=level, fold="all", metric=name):
            note = f"of {row['n']} {level}s, out of fold"
            numbers.append(_number(with_interval(row), f"{title}, {level}s", note))
    for method in methods[:1] + methods[-1:]:
        if row := find(metrics, level="pixel", fold="all", metric="pxap", method=method):
            title = f"PxAP, {METHODS.get(method, method)}"
            chance = find(metrics, level="pixel", fold="all", metric="pxap_chance", method=method)
            note = f"of 100; chance is {with_interval(chance, 1).split()[0]}"
            numbers.append(_number(with_interval(row, 1), title, note))
    for metric, title in (("nmi", "NMI of clusters"), ("ari", "ARI of clusters")):
        if len(numbers) < 5 and (row := find(metrics, level="tile", fold="all", metric=metric)):
            numbers.append(_number(with_interval(row), title, "against the labels of the slides"))
    if len(numbers) < 5 and not config["labels"]["classes"]:
        count = config["train_clusters"]["count"]
        numbers.append(_number(str(count), "clusters", "no labels to hold them against"))
    return numbers[:5]


def training_curves(
    rows: Sequence[Row], best_epoch: int | None
) -> tuple[dict[str, tuple[list, list]], dict[str, tuple[float, float]]]:
    """Loss over epochs per split, and the point of each curve at the epoch that was kept."""
    lines: dict[str, tuple[list, list]] = {}
    marks = {}
    for row in rows:
        if row["loss"]:
            xs, ys = lines.setdefault(row["split"], ([], []))
            xs.append(int(row["epoch"]))
            ys.append(float(row["loss"]))
            if best_epoch is not None and xs[-1] == best_epoch:
                marks[row["split"]] = (xs[-1], ys[-1])
    return lines, marks


def _number(value: str, title: str, note: str) -> dict:
    return {"value": value, "title": title, "note": note}
