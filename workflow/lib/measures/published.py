"""Published numbers beside those of a study: which belong together, and how far apart they are.

A published number is of a method, a pooling of its classifier and a backbone, by the names that
Microtome has for them, whatever the paper `called` it. `pixel_masks` is how many were used to
choose epochs or thresholds, or the word all where the method learns from those of its training.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from workflow.lib.measures import ablation, ablation_plans

PARTS = {
    "configfile": "the config of the study",
    "published": "the table of published numbers",
    "slides": "its sheet, if another for every {seed}",
    "differs": "sentences on what differs from what is published",
}
PUBLISHED = (
    *("called", "method", "pooling", "backbone", "level", "metric", "value"),
    *("pixel_masks", "source"),
)
COLUMNS = (
    *("variant", "backbone", "pooling", "level", "metric", "method", "value", "low", "high"),
    *("seeds", "n", "pixel_masks_used"),
    *("called", "published", "published_pixel_masks", "difference", "source"),
)
HEAD = (
    *("metric", "method", "backbone", "here, mean over seeds", "seeds", "slides", "pixel masks"),
    *("published", "its pixel masks", "here - published"),
)
READING = (
    "Means over the seeds with the 95% interval of Student's t: of other draws, weights and "
    "batches, not of other patients. What is published is one run each, without an interval."
)
ONCE = "One seed: there are no intervals, and a difference may be chance. Give at least three."


def plan_faults(plan: object) -> list[str]:
    """What is wrong with a file of variants to lay beside published numbers, a sentence each."""
    if not isinstance(plan, Mapping):
        return ["it holds no targets and no variants; see config/reproductions for an example"]
    faults = ablation_plans.plan_faults({k: v for k, v in plan.items() if k not in PARTS}, least=1)
    for part in ("configfile", "published"):
        if not isinstance(plan.get(part), str):
            faults.append(f"{part}: name the file that is {PARTS[part]}")
    if not isinstance(plan.get("slides", ""), str):
        faults.append("slides: name a sheet; {seed} in it stands for the seed")
    sentences = plan.get("differs", [])
    if not isinstance(sentences, list) or not all(isinstance(text, str) for text in sentences):
        faults.append(f"differs: write a list of {PARTS['differs']}")
    return faults


def published_faults(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """What is wrong with a table of published numbers, a sentence each."""
    faults, seen = [], set()
    for line, row in enumerate(rows, start=2):
        if tuple(row) != PUBLISHED:
            return [f"it has the columns {', '.join(row)}, not {', '.join(PUBLISHED)}"]
        try:
            float(row["value"])
        except ValueError:
            faults.append(f"line {line}: {row['value']!r} is no number")
        if (about := _about(row)) in seen:
            faults.append(f"line {line}: {' '.join(about)} is given a second time")
        seen.add(about)
    return faults


def beside(
    rows: Sequence[Mapping],
    configs: Mapping[str, Mapping],
    published: Sequence[Mapping[str, str]],
) -> list[dict]:
    """Rows with COLUMNS: every mean over seeds with the published number that belongs to it.

    rows: of `ablation.compare`; configs: of every variant; published: without faults.

    What a mean has no counterpart for is None. Where several variants have one, a row more holds
    their mean, over the seeds that all of them have, beside the mean of what is published of them;
    its variant and backbone are `mean`.
    """
    known = {_about(row): row for row in published}
    found: dict[tuple, list[dict]] = {}
    for row in rows:
        if row["seed"] != "all" or row["value"] is None:
            continue
        classifier = configs[row["variant"]]["train_classifier"]
        named = {key: row[key] for key in ("variant", "level", "metric", "method")}
        named |= {key: classifier[key] for key in ("backbone", "pooling")}
        row = {key: row[key] for key in ("value", "low", "high", "seeds", "n", "pixel_masks_used")}
        row = _laid_beside(named | row, known.get(_about(named)))
        group = tuple(named[key] for key in ("level", "metric", "method", "pooling"))
        found.setdefault(group, []).append(row)
    laid = [row for group in found.values() for row in (*group, *_mean(group, rows))]
    return [{column: row[column] for column in COLUMNS} for row in laid]


def published_table(laid: Sequence[Mapping], *, seeds: int, differs: Sequence[str] = ()) -> str:
    """Rows of `beside` as a Markdown table, with how to read it and what `differs`.

    seeds: how many were asked for.
    """
    lines = [_line(HEAD), _line(["---"] * len(HEAD))]
    for row in laid:
        digits = 1 if row["metric"].startswith("pxap") else 3
        pooling = "" if row["pooling"] == "gap" else f", {row['pooling']} pooling"
        called = f" ({row['called']})" if row["called"] else ""
        interval = [f"{row[key]:.{digits}f}" for key in ("low", "high") if math.isfinite(row[key])]
        published, difference = row["published"], row["difference"]
        cells = (
            f"{row['level']} {row['metric']}",
            f"{row['method']}{called}{pooling}",
            row["backbone"],
            f"{row['value']:.{digits}f}" + (f" [{', '.join(interval)}]" if interval else ""),
            f"{row['seeds']} of {seeds}",
            str(row["n"]),
            str(row["pixel_masks_used"]),
            "" if published is None else f"{published:.{digits}f}",
            row["published_pixel_masks"] or "",
            "" if difference is None else f"{difference:+.{digits}f}",
        )
        lines.append(_line(cells))
    notes = [f"* {' '.join(sentence.split())}" for sentence in differs]
    heading = ["", "What differs from what is published:", "", *notes] * bool(notes)
    sources = sorted({row["source"] for row in laid if row["source"]})
    said = [f"Published: {source}." for source in sources]
    reading = ONCE if seeds == 1 else READING
    return "\n".join([*lines, "", " ".join([reading, *said]), *heading]) + "\n"


def _about(row: Mapping) -> tuple[str, ...]:
    return tuple(row[key] for key in ("method", "pooling", "backbone", "level", "metric"))


def _laid_beside(row: dict, other: Mapping[str, str] | None) -> dict:
    value = float(other["value"]) if other else None
    return row | {
        "called": other and other["called"],
        "published": value,
        "published_pixel_masks": other and other["pixel_masks"],
        "difference": None if value is None else row["value"] - value,
        "source": other and other["source"],
    }


def _mean(group: Sequence[dict], rows: Sequence[Mapping]) -> Iterator[dict]:
    """The mean of a group's rows that have a counterpart, if several have."""
    paired = [row for row in group if row["published"] is not None]
    if len(paired) < 2:
        return
    names = {row["variant"] for row in paired}
    of_seed: dict[int, list[float]] = {}
    for row in rows:
        same = all(row[key] == group[0][key] for key in ("level", "metric", "method"))
        if same and row["seed"] != "all" and row["variant"] in names and row["value"] is not None:
            of_seed.setdefault(row["seed"], []).append(row["value"])
    values = [math.fsum(v) / len(v) for v in of_seed.values() if len(v) == len(paired)]
    if not values:
        return
    low, high = ablation.t_interval(values)
    value = math.fsum(values) / len(values)
    published = math.fsum(row["published"] for row in paired) / len(paired)
    yield paired[0] | {
        "variant": "mean",
        "backbone": "mean",
        **{"value": value, "low": low, "high": high, "seeds": len(values)},
        "n": min(row["n"] for row in paired),
        "pixel_masks_used": max(row["pixel_masks_used"] for row in paired),
        **{"published": published, "difference": value - published},
    }


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
