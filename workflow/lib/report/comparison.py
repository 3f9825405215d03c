"""What differs between two studies, as text that people read in a terminal."""

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

COLUMNS = ("part", "method", "quantity", "slide", "a", "a_low", "a_high", "b", "b_low", "b_high")
COLUMNS += ("difference", "difference_low", "difference_high", "slides", "patients", "note")
STUDY = ("pxap", "dice_fg@otsu_val", "miou@otsu_val", "accuracy", "auroc")  # of many, the known
SHOWN = 5
CELL = 60  # letters of a value that is shown
NUMBERS = ("a", "b", "difference")
HEAD = ("method", "quantity", "A", "B", "B - A")


def comparison_text(rows: Sequence[Mapping], *, names: tuple[str, str]) -> str:
    """Rows with COLUMNS (workflow/tools/compare_studies.py) as tables; `names` of the studies."""
    parts = defaultdict(list)
    for row in rows:
        parts[row["part"]].append(row)
    lines = [f"A = {names[0]}", f"B = {names[1]}"]
    chosen = [row for row in parts["study"] if row["quantity"] in STUDY]
    lines += ["", "What each study says of itself, over all folds:", *_numbers(chosen)]
    lines += ["", "Means over the slides of both, patients resampled in pairs (95%):"]
    lines += _numbers(parts["paired"], ("slides", "patients"))
    lines += ["", "Settings that differ:", *_settings(parts["setting"])]
    lines += ["", "Slides that differ:", *_slides(parts["slide"])]
    lines += ["", "Heatmaps, mean absolute difference (0 to 1) of a slide:"]
    lines += _heatmaps(parts["heatmap"])
    return "\n".join(lines) + "\n"


def _numbers(rows: Sequence[Mapping], more: tuple[str, ...] = ()) -> list[str]:
    if not rows:
        return ["  nothing that both measured"]
    cells = [[*HEAD, *more]]
    for row in rows:
        digits = 1 if row["quantity"] == "pxap" else 3
        values = [_estimate(row, name, digits, sign=name == "difference") for name in NUMBERS]
        cells.append([row["method"], row["quantity"], *values, *(str(row[n]) for n in more)])
    return _aligned(cells)


def _estimate(row: Mapping, name: str, digits: int, *, sign: bool) -> str:
    """A number with its interval, where both are defined."""
    value, low, high = (row[f"{name}{end}"] for end in ("", "_low", "_high"))
    if value is None or math.isnan(value):
        return "not defined"
    form = f"{'+' if sign else ''}.{digits}f"
    known = low is not None and math.isfinite(low)
    return f"{value:{form}}" + (f" [{low:{form}}, {high:{form}}]" if known else "")


def _settings(rows: Sequence[Mapping]) -> list[str]:
    """One line a setting; the code of all rules in one, because hashes tell nobody anything."""
    changed = [row["note"] for row in rows if row["quantity"].endswith(".code")]
    lines = [["setting", "A", "B", "read by"]] + [
        [row["quantity"], _cut(row["a"]), _cut(row["b"]), _cut(row["note"])]
        for row in rows
        if not row["quantity"].endswith(".code")
    ]
    found = _aligned(lines) if len(lines) > 1 else []
    if changed:
        found.append(f"  the code of {len(changed)} rules: {', '.join(changed)}")
    return found or ["  none"]


def _slides(rows: Sequence[Mapping]) -> Iterator[str]:
    groups = defaultdict(list)
    for row in rows:
        groups[row["note"] or f"another {row['quantity']}"].append(row["slide"])
    for what, slides in groups.items():
        more = f" and {len(slides) - SHOWN} more" if len(slides) > SHOWN else ""
        yield f"  {what}: {len(slides)} ({', '.join(slides[:SHOWN])}{more})"
    if not rows:
        yield "  none"


def _heatmaps(rows: Sequence[Mapping]) -> Iterator[str]:
    """Per method the median and the slides furthest apart, and why others are not compared."""
    methods = defaultdict(list)
    for row in rows:
        methods[row["method"]].append(row)
    for method, own in methods.items():
        known = [row for row in own if row["difference"] is not None]
        known = [row for row in known if not math.isnan(row["difference"])]
        if known:
            known.sort(key=lambda row: -row["difference"])
            middle = statistics.median(row["difference"] for row in known)
            most = ", ".join(f"{r['slide']} {r['difference']:.3f}" for r in known[:SHOWN])
            yield f"  {method}: {len(known)} slides, median {middle:.3f}; most: {most}"
        left = [row for row in own if row not in known]
        if left:
            first = f"{left[0]['slide']}: {left[0]['note']}"
            yield f"  {method}: {len(left)} slides not compared; {first}"
    if not rows:
        yield "  none that both have"


def _cut(text: str) -> str:
    return text if len(text) <= CELL else f"{text[: CELL - 3]}..."


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  " + "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
