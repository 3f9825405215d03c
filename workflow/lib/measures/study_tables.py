"""The methods of one study, or of the same study under several seeds, as a Markdown table."""

import math
from collections.abc import Mapping, Sequence

from workflow.lib.measures.ablation import t_interval
from workflow.lib.measures.method_tables import (
    QUANTITIES,
    chance_text,
    estimate_text,
    rank,
    seconds_text,
)

AVERAGED = (*QUANTITIES, "seconds_per_image")
MOST = {"pxap": 100.0, "seconds_per_image": math.inf}  # 1 for the others, and 0 is least: an
# interval of Student's t knows of no end, and would go on beyond it where studies are few
HEAD = ("method", "learns from", "PxAP of 100", "Dice", "mean IoU", "image AUROC")
HEAD += ("pixel masks used", "seconds per image", "studies", "slides")
DIGITS = 3  # of a share
ONE = "In [ ]: 95% intervals from resampling patients."
SEVERAL = (
    "Means over {studies} studies with the 95% interval of Student's t, which tells of other seeds,"
    " not of other patients."
)
READING = (
    "PxAP by chance is the share of foreground: {chance}. Dice of the foreground and mean IoU are"
    " at Otsu's threshold of the validation slides. Seconds are those from the tiles of an image to"
    " its heatmap, the median over the images, without the start of jobs{devices}."
)


def average(studies: Sequence[Sequence[Mapping]]) -> list[dict]:
    """Rows of `compare_methods` of several studies as one row per method, the best of labels first.

    What is in AVERAGED are means with the t-interval over the studies that have it, `slides` the
    fewest, `pixel_masks_used` the most of any study, `studies` how many have the method. A single
    study keeps its own intervals, and its seconds have none.
    """
    found: dict[str, list[Mapping]] = {}
    for row in (row for rows in studies for row in rows):
        found.setdefault(row["method"], []).append(row)
    averaged = []
    for rows in found.values():
        row = dict(rows[0]) | {
            "studies": len(rows),
            "slides": min(row["slides"] for row in rows),
            "pixel_masks_used": max(row["pixel_masks_used"] for row in rows),
            "pxap_chance": _mean(rows, "pxap_chance"),
            "devices": _names(rows),
        }
        for name in AVERAGED:
            low, high = t_interval([row[name] for row in rows if row[name] is not None])
            if math.isfinite(low):
                low, high = max(low, 0.0), min(high, MOST.get(name, 1.0))
            if len(studies) > 1 or f"{name}_low" not in row:
                row |= {f"{name}_low": low, f"{name}_high": high}
            row[name] = _mean(rows, name)
        averaged.append(row)
    return sorted(averaged, key=rank)


def markdown_table(rows: Sequence[Mapping], *, studies: int) -> str:
    """Rows of `average` as Markdown, with sentences on how to read them."""
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    for row in rows:
        cells = [row["name"], row["learns_from"]]
        cells += [estimate_text(row, name, DIGITS) for name in QUANTITIES]
        cells += [str(row["pixel_masks_used"]), _seconds(row)]
        lines.append(_line([*cells, f"{row['studies']} of {studies}", str(row["slides"])]))
    devices = _names(rows)
    reading = READING.format(chance=chance_text(rows), devices=f", on {devices}" if devices else "")
    first = SEVERAL.format(studies=studies) if studies > 1 else ONE
    return "\n".join([*lines, "", f"{first} {reading}"]) + "\n"


def _seconds(row: Mapping) -> str:
    low, high = row["seconds_per_image_low"], row["seconds_per_image_high"]
    shown = seconds_text(row["seconds_per_image"])
    if not math.isfinite(low):
        return shown
    return f"{shown} [{seconds_text(low)}, {seconds_text(high)}]"


def _mean(rows: Sequence[Mapping], name: str) -> float | None:
    values = [row[name] for row in rows if row[name] is not None]
    return math.fsum(values) / len(values) if values else None


def _names(rows: Sequence[Mapping]) -> str:
    return ", ".join(sorted({row["devices"] for row in rows if row["devices"]}))


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
