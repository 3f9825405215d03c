"""What the clusters of a study are worth, as the page says it, from rows of its tables."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from workflow.lib.report.summary import Row, find, value_of, with_interval

SHOWN = 40  # clusters that a table of the page lists
STEPS = (0.5, 1.0, 2.0)  # of log2: from here on a cell has its first, second, third shade
LEVELS = {"tile": "tiles", "image": "slides"}


def enrichment_table(rows: Iterable[Row], fold: str) -> dict:
    """Clusters of a fold by the names that they are rich or poor in.

    columns: titles, labels before sites; rows: cluster, tiles, cells (text, interval, shade, sure:
    whether the interval leaves 0 out) and `patient`, who has most of its tiles. more: clusters that
    are not listed. Sites and patients count all slides, labels those of the test slides.
    """
    own = [row for row in rows if row["fold"] == fold]
    named = {(row["of"], row["name"]): None for row in own if row["of"] in ("label", "site")}
    columns = sorted(named, key=lambda key: (key[0] != "label", key[1]))
    cells, patients = {}, {}
    for row in own:
        cluster = int(row["cluster"])
        if row["of"] == "patient":
            before = patients.get(cluster)
            if row["share"] and (not before or float(row["share"]) > float(before["share"])):
                patients[cluster] = row
        else:
            cells[cluster, row["of"], row["name"]] = _cell(row)
    clusters = sorted({key[0] for key in cells} | set(patients))
    return {
        "columns": [f"{of} {name}" for of, name in columns],
        "patients": bool(patients),
        "rows": [
            {
                "cluster": cluster,
                "cells": [cells.get((cluster, *key), _cell(None)) for key in columns],
                "patient": _patient(patients.get(cluster)),
            }
            for cluster in clusters[:SHOWN]
        ],
        "more": max(0, len(clusters) - SHOWN),
    }


def origin_sentences(metrics: Sequence[Row], clustering: str) -> list[str]:
    """How far clusters give away where slides are from, with what guessing would, where asked."""
    asked = {
        "site": "A slide's site is guessed from its clusters alone for {value} of the slides",
        "patient": "A tile's patient is guessed from its cluster alone for {value} of the tiles",
    }
    said = []
    for name, sentence in asked.items():
        row, chance = (
            find(metrics, fold="all", method=clustering, metric=f"{name}_{what}")
            for what in ("accuracy", "chance")
        )
        if row and row["value"]:
            text = sentence.format(value=with_interval(row))
            said.append(f"{text} (mean over {name}s; by chance {value_of(chance)}).")
    return said


def probe_table(metrics: Iterable[Row], clustering: str) -> list[dict]:
    """One row per level and layer, shallow to deep: AUROC of the network as trained and before.

    trained, start and random with their intervals, "" where there was no such network; `seeds`:
    lowest and highest of the random ones; gains: what training added, where it was asked.
    """
    found: dict[tuple[str, str], dict[str, Row]] = defaultdict(dict)
    for row in metrics:
        if not row["method"].startswith("probe ") or row["fold"] != "all":
            continue
        network, layer = row["method"].removeprefix("probe ").split(" ", 1)
        if row["metric"] == "auroc_gain":
            other, layer = layer.removeprefix("over ").split(" ", 1)
            found[row["level"], layer][f"gain {other}"] = row
        elif row["metric"] == "auroc":
            found[row["level"], layer]["trained" if network == clustering else network] = row
        else:
            found[row["level"], layer][row["metric"]] = row
    return [
        {
            "level": LEVELS.get(level, level),
            "layer": layer,
            **{name: _measured(cells, name) for name in ("trained", "start", "random")},
            "seeds": _seeds(cells),
            "gains": [
                f"{with_interval(cells[f'gain {name}'])} over {name}"
                for name in ("start", "random")
                if f"gain {name}" in cells
            ],
        }
        for (level, layer), cells in sorted(found.items(), key=lambda item: item[0][0] == "image")
    ]


def _measured(cells: dict[str, Row], name: str) -> str:
    return with_interval(cells[name]) if name in cells else ""


def _seeds(cells: dict[str, Row]) -> str:
    low, high = (cells.get(f"auroc_{end}") for end in ("min", "max"))
    return f"{value_of(low)} to {value_of(high)}" if low and high else ""


def _cell(row: Row | None) -> dict:
    """Text, interval, shade ("up1" to "up3", "down1" to "down3", "") and `sure`."""
    if not row or not row["log2_enrichment"]:
        return {"text": "", "interval": "", "shade": "", "sure": False}
    value = round(float(row["log2_enrichment"]), 1)
    shade = sum(abs(value) >= step for step in STEPS)
    ends = [float(row[end]) for end in ("low", "high") if row[end]]
    return {
        "text": f"+{_signed(value)}" if value > 0 else _signed(value),
        "interval": f"[{', '.join(map(_signed, ends))}]" if ends else "",
        "shade": f"{'up' if value > 0 else 'down'}{shade}" if shade else "",
        "sure": len(ends) == 2 and ends[0] * ends[1] > 0,
    }


def _signed(number: float) -> str:
    """
    >>> _signed(-1.25), _signed(-0.04)
    ('−1.2', '0.0')
    """
    return f"{round(number, 1) + 0.0:.1f}".replace("-", "−")


def _patient(row: Row | None) -> str:
    if not row:
        return ""
    return f"{row['name']} {float(row['share']):.0%} (of all tiles {float(row['expected']):.0%})"
