"""The methods of a study side by side: a row each, with what it is worth and what it costs."""

import math
from collections.abc import Mapping, Sequence

from workflow.lib.jobs.names import PERMUTED, SUPERVISED, UNRELATED
from workflow.lib.measures.timings import Cost

QUANTITIES = {  # column -> metric of metrics.tsv, over all folds
    "pxap": "pxap",
    "dice": "dice_fg@otsu_val",
    "miou": "miou@otsu_val",
    "auroc": "auroc",
}
COLUMNS = (
    *("method", "name", "learns_from", "slides", "pixel_masks_used", "pxap_chance"),
    *(f"{name}{end}" for name in QUANTITIES for end in ("", "_low", "_high")),
    *("seconds_per_image", "images_timed", "training_hours", "devices"),
)
# What a method knows the place of things from. The last two are more than labels.
LABELS, SHAPES, POINTS, MASKS = "labels", "stain and shape", "points", "pixel masks"

Row = Mapping[str, str]


def compare_methods(
    metrics: Sequence[Row],
    names: Mapping[str, str],
    costs: Mapping[str, Cost],
    *,
    cams: Mapping[str, str],
) -> list[dict]:
    """One row with COLUMNS per method of `names` that was measured, the best of labels first.

    metrics: of a study; a method of permuted labels is called so. names: method -> its name.
    cams: method -> the method of the maps that it shows or builds on.

    PxAP is of 100, and by chance it is the share of foreground; Dice of the foreground and mean IoU
    are at Otsu's threshold of the validation slides. Intervals are those of `metrics`, over
    patients. AUROC is that of the images' labels by the classifier that a method builds on. Behind
    the methods that learn from labels alone stand those that learn from points or pixel masks.
    """
    rows = []
    for method, name in names.items():
        own = {
            row["metric"]: row
            for row in metrics
            if (row["fold"], row["level"]) == ("all", "pixel")
            and row["method"].removesuffix(PERMUTED) == method
        }
        if "pxap" not in own:
            continue
        if method not in UNRELATED and (labelled := _labelled(metrics)):
            own["auroc"] = labelled
        permuted = own["pxap"]["method"].endswith(PERMUTED)
        shown = {column: own.get(metric) for column, metric in QUANTITIES.items()}
        pixels = [row for column, row in shown.items() if row and column != "auroc"]
        cost = costs.get(method, Cost())
        rows.append(
            {
                "method": method,
                "name": name + PERMUTED * permuted,
                "learns_from": _teacher(method, cams[method]),
                "slides": int(own["pxap"]["n"]),
                "pixel_masks_used": max(int(row["pixel_masks_used"] or 0) for row in pixels),
                "pxap_chance": _number(own.get("pxap_chance"), "value"),
                **{
                    f"{column}{end}": _number(row, cell)
                    for column, row in shown.items()
                    for end, cell in (("", "value"), ("_low", "ci_low"), ("_high", "ci_high"))
                },
                "seconds_per_image": cost.seconds,
                "images_timed": cost.images,
                "training_hours": None if cost.training is None else cost.training / 3600,
                "devices": ", ".join(cost.devices),
            }
        )
    return sorted(rows, key=rank)


def estimate_text(row: Mapping, name: str, digits: int = 2) -> str:
    """A quantity of a row and its interval as people write them; PxAP, of 100, with one digit.

    >>> estimate_text({"dice": 0.75, "dice_low": 0.5, "dice_high": 0.875}, "dice")
    '0.75 [0.50, 0.88]'
    >>> estimate_text({"pxap": None}, "pxap")
    'not defined'
    """
    if row[name] is None:
        return "not defined"
    digits = 1 if name == "pxap" else digits
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    known = low is not None and math.isfinite(low)
    return f"{value:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if known else "")


def seconds_text(seconds: float | None) -> str:
    """How long something takes, with two digits or whole seconds.

    >>> [seconds_text(seconds) for seconds in (None, 0.0123, 0.987, 1.26, 234.5)]
    ['not measured', '0.012', '0.99', '1.3', '234']
    """
    if seconds is None:
        return "not measured"
    return f"{seconds:.0f}" if seconds >= 9.95 else f"{seconds:#.2g}"


def chance_text(rows: Sequence[Mapping]) -> str:
    """The PxAP of guessing, or from which to which it is where methods saw different slides."""
    known = sorted(row["pxap_chance"] for row in rows if row["pxap_chance"] is not None)
    ends = dict.fromkeys(f"{value:.1f}" for value in known[:1] + known[-1:])
    return " to ".join(ends) or "not defined"


def rank(row: Mapping) -> tuple:
    """Where a row stands: methods that need labels at most first, by PxAP; undefined ones last."""
    pxap = row["pxap"]
    return row["learns_from"] in (POINTS, MASKS), pxap is None, -(pxap or 0)


def _teacher(method: str, cam: str) -> str:
    if method in SUPERVISED:
        return MASKS
    if method == "points":
        return POINTS
    return SHAPES if cam == "glands" else LABELS


def _labelled(metrics: Sequence[Row]) -> Row | None:
    """How well the classifier tells the labels of whole images, or of what they are of."""
    return next(
        (
            row
            for row in metrics
            if (row["fold"], row["metric"]) == ("all", "auroc")
            and row["method"].startswith("classifier")
            and row["level"] != "tile"
        ),
        None,
    )


def _number(row: Row | None, cell: str) -> float | None:
    return float(row[cell]) if row and row[cell] else None
