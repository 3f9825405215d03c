"""What an ablation came to, for people: a table in Markdown and a figure of the differences."""

import io
import math
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workflow.lib.report.figures import LONGEST, STYLE

HEAD = (
    *("metric", "variant", "mean over seeds", "difference to {baseline}"),
    *("seeds", "pairs", "slides", "pixel masks used"),
)
READING = (
    "Means over the seeds with the 95% interval of Student's t. Differences are paired by seed, "
    "because every seed draws its own weights and, unless the sheet fixes them, its own folds; in "
    "bold where the interval leaves zero out, as one in twenty does by chance. Such an interval "
    "tells of other seeds, not of other patients."
)
ACROSS, ABREAST = 3, 36  # panels in a row of the figure, letters above a panel
INK, FAINT, BELOW = "0.15", "0.6", 0.25  # greys; seeds stand a quarter of a line lower


def comparison_table(rows: Sequence[Mapping], *, baseline: str) -> str:
    """Rows of `ablation.compare` as a Markdown table, with a sentence on how to read it.

    Only means over the seeds are shown, and how many of the seeds asked for are behind the mean,
    and how many, the pairs, behind the difference.
    """
    heads = [head.format(baseline=baseline) for head in HEAD]
    lines = [_line(heads), _line(["---"] * len(heads))]
    asked = len({row["seed"] for row in rows}) - 1  # without the row of all
    for name, quantity in _quantities(rows).items():
        of_all = [row for row in quantity if row["seed"] == "all"]
        scale = _digits(of_all)
        for row in of_all:
            cells = [
                name,
                row["variant"],
                _estimate(row, "value", "low", "high", scale),
                "" if row["variant"] == baseline else _difference(row, scale),
                f"{row['seeds']} of {asked}",
                "" if row["variant"] == baseline else f"{row['pairs']} of {asked}",
                *("" if row[key] is None else str(row[key]) for key in ("n", "pixel_masks_used")),
            ]
            lines.append(_line(cells))
    once = "One seed: there are no intervals, and a difference may be chance. Give more seeds."
    return "\n".join([*lines, "", once if asked == 1 else READING]) + "\n"


def draw_differences(rows: Sequence[Mapping], *, baseline: str) -> str:
    """Paired differences to the baseline as SVG text, one panel per metric.

    rows: of `ablation.compare`. A small dot is a seed, a large one the mean with its interval.
    """
    panels = _quantities(rows)
    variants = list(dict.fromkeys(row["variant"] for row in rows if row["variant"] != baseline))
    across = max(1, min(ACROSS, len(panels)))
    down = max(1, -(-len(panels) // across))
    size = (1.4 + 2.4 * across, 0.3 + (0.8 + 0.35 * len(variants)) * down)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        grid = list(figure.subplots(down, across, sharey=True, squeeze=False).flat)
        for axes, (name, quantity) in zip(grid, panels.items(), strict=False):
            for place, variant in enumerate(variants):
                _draw_variant(axes, [r for r in quantity if r["variant"] == variant], place)
            axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
            axes.set_yticks(range(len(variants)), [_shorten(variant) for variant in variants])
            axes.set_ylim(len(variants) - 0.5, -0.5)
            axes.locator_params(axis="x", nbins=4)
            axes.set_title(textwrap.fill(name, ABREAST), fontsize=8, loc="left")
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        figure.supxlabel(f"difference to {_shorten(baseline)}", fontsize=9)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
        return stream.getvalue()


def _draw_variant(axes: Axes, rows: Sequence[Mapping], place: int) -> None:
    for row in rows:
        if row["difference"] is None:
            continue
        if row["seed"] != "all":
            axes.plot(row["difference"], place + BELOW, "o", color=FAINT, markersize=3)
            continue
        axes.plot(row["difference"], place, "o", color=INK, markersize=6)
        if math.isfinite(row["difference_low"]):
            ends = row["difference_low"], row["difference_high"]
            axes.plot(ends, (place, place), color=INK, linewidth=1.6)


def _quantities(rows: Sequence[Mapping]) -> dict[str, Sequence[Mapping]]:
    """What was measured -> its rows: as many for each as there are variants and seeds."""
    each = len({row["variant"] for row in rows}) * len({row["seed"] for row in rows})
    found = {}
    for start in range(0, len(rows), each or 1):
        quantity = rows[start : start + each]
        methods = dict.fromkeys(row["method"] for row in quantity if row["method"])
        name = f"{quantity[0]['level']} {quantity[0]['metric']}, {' or '.join(methods)}"
        found[name] = quantity
    return found


def _digits(rows: Sequence[Mapping]) -> int:
    """Decimals that are worth showing: 3 for shares, 1 for what counts to 100."""
    return 3 if all(abs(row["value"] or 0) <= 1 for row in rows) else 1


def _estimate(row: Mapping, value: str, low: str, high: str, digits: int, sign: str = "") -> str:
    if row[value] is None:
        return "not measured"
    shown = [f"{round(row[key], digits) + 0.0:{sign}.{digits}f}" for key in (value, low, high)]
    interval = f" [{shown[1]}, {shown[2]}]" if math.isfinite(row[low]) else ""
    return shown[0] + interval


def _difference(row: Mapping, digits: int) -> str:
    shown = _estimate(row, "difference", "difference_low", "difference_high", digits, "+")
    leaves_out = row["difference_low"] > 0 or row["difference_high"] < 0
    return f"**{shown}**" if leaves_out else shown


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _shorten(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
