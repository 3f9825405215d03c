"""Figures of the report as SVG: readable in grey and by the colour-blind, the same every time."""

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from workflow.lib.report.colours import hex_colour, palette

# Lines differ in dash as well as in colour, so that a grey print still tells them apart.
DASHES = ("-", "--", ":", "-.")
STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "microtome",
    "text.parse_math": False,  # a class may be called "$1"
}

FITS, LONGEST = 8, 28  # letters of a name: upright beside a cell, and at all
INSIDE = 4  # lines whose legend leaves something to see of them

Line = tuple[Sequence[float], Sequence[float]]


def draw_lines(
    lines: Mapping[str, Line],
    *,
    x: str,
    y: str,
    unit_square: bool = False,
    steps: bool = False,
    chance: Line | None = None,
    levels: Mapping[str, float] | None = None,
    marks: Mapping[str, tuple[float, float]] | None = None,
) -> str:
    """Named lines (xs, ys) on one pair of axes as an SVG text.

    unit_square  both axes run from 0 to 1 and are equally long (ROC, precision-recall)
    steps        a point holds back to the one before (precision-recall)
    chance       what guessing gives: a thin grey line
    levels       what lines are compared with: a thin dotted line across, its name at its end
    marks        one point to mark per name
    """
    with mpl.rc_context(STYLE):
        beside = len(lines) > INSIDE
        height = max(3.1, 0.165 * (len(lines) + 2))  # inch, as many as the legend has entries
        figure = Figure(figsize=(5.8 if beside else 3.6, height), layout="constrained")
        axes = figure.add_subplot(xlabel=x, ylabel=y)
        colours = [hex_colour(colour) for colour in palette(max(1, len(lines)))]
        for index, (name, (xs, ys)) in enumerate(lines.items()):
            dash = DASHES[index % len(DASHES)]
            style = {"color": colours[index], "linestyle": dash, "linewidth": 1.6}
            style["label"] = _shorten(name)
            axes.plot(xs, ys, drawstyle="steps-pre" if steps else "default", **style)
            if marks and name in marks:
                axes.plot(*marks[name], marker="o", color=colours[index], markersize=5)
        if chance:
            axes.plot(*chance, color="0.55", linewidth=0.8, label="chance")
        for name, level in (levels or {}).items():
            axes.axhline(level, color="0.25", linewidth=1, linestyle=(0, (1, 2)))
            end = {"transform": axes.get_yaxis_transform(), "ha": "left", "va": "center"}
            axes.text(1.01, level, _shorten(name), fontsize=8, **end)
        if unit_square:
            axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
            axes.set_box_aspect(1)
        axes.grid(color="0.9")
        if beside:
            figure.legend(loc="outside right upper", fontsize=8)
        elif levels:  # above the axes, where no level crosses it
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=INSIDE, fontsize=8)
        elif lines:
            axes.legend(fontsize=8)
        return _svg(figure)


def draw_confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """A confusion matrix, true classes in rows, with counts and shares of the row, as SVG text."""
    with mpl.rc_context(STYLE):
        names = [_shorten(name) for name in classes]
        longest = max(map(len, names))
        room = 0.07 * longest if longest > FITS else 0.3  # inch for a label beside the cells
        side = 1.2 + 0.75 * len(names) + room
        figure = Figure(figsize=(side, 0.95 * side), layout="constrained")
        axes = figure.add_subplot(xlabel="predicted", ylabel="true")
        shares = [[count / max(1, sum(row)) for count in row] for row in counts]
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, line in enumerate(counts):
            for column, count in enumerate(line):
                share = shares[row][column]
                text = f"{count}\n{share:.0%}"
                shade = "white" if share > 0.5 else "black"
                axes.text(column, row, text, ha="center", va="center", color=shade)
        if longest > FITS:
            axes.set_xticks(
                range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor"
            )
            axes.set_yticks(range(len(names)), names)
        else:
            axes.set_xticks(range(len(names)), names)
            axes.set_yticks(range(len(names)), names, rotation=90, va="center")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        return _svg(figure)


def _shorten(name: str) -> str:
    """A name with its middle left out: methods and classes are often told apart by their end."""
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[: LONGEST - half - 1]}…{name[-half:]}"


def _svg(figure: Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()
