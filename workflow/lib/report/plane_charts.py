"""The same points on a plane, coloured by one thing after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow.lib.report.colours import NO_DATA, RGB, hex_colour, palette
from workflow.lib.report.figures import LONGEST, STYLE

# Groups differ in shape as well as in colour, so that a grey print still tells them apart.
SHAPES = ("o", "^", "s", "D", "v", "P", "X", "<", ">", "p", "h", "*")
ENTRIES = 12  # groups that a legend names; the rest is grey
NUMBERED = 40  # the same where names are numbers
WIDTH, DPI = 13.4, 100  # inch and dots per inch: as wide as the page of the report
WIDEST, EDGE, HEAD, LINE = 4.6, 0.06, 0.62, 0.195  # inch: a panel, its edge, titles, legend's row
LETTERS = 13.5  # per inch, in a legend


@dataclass(frozen=True)
class Panel:
    """What points are coloured by: `of` (N,), the index of each in `names`.

    colours: one per name, else those of the palette. numbered: names are short enough to stand
    among the points too.
    """

    title: str
    names: Sequence[str]
    of: np.ndarray
    colours: Sequence[RGB] | None = None
    numbered: bool = False


def draw_planes(points: np.ndarray, panels: Sequence[Panel], *, title: str) -> np.ndarray:
    """Points (N, 2) once for every panel, side by side: (H, W, 3) uint8.

    A legend names the 12 groups with most points (40 where they are numbered); those after are
    grey, and it says how many.
    """
    with mpl.rc_context(STYLE):
        side = min(WIDEST, WIDTH / max(1, len(panels)))
        looks = [_looks(panel) for panel in panels]
        columns = [_columns(look, side) for look in looks]
        rows = (-(-len(look) // each) for look, each in zip(looks, columns, strict=True))
        height = HEAD + side + LINE * max(rows, default=0) + 0.25
        width = max(WIDEST, side * len(panels))
        figure = Figure(figsize=(width, height), dpi=DPI)
        figure.text(EDGE / width, 1 - 0.1 / height, title, fontsize=11, va="top")
        for place, (panel, look, each) in enumerate(zip(panels, looks, columns, strict=True)):
            inside = side - 2 * EDGE
            bottom = height - HEAD - inside
            box = (place * side + EDGE) / width, bottom / height, inside / width, inside / height
            _draw(figure.add_axes(box), points, panel, look, columns=each)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def make_panels(values: Mapping[str, Sequence[str]]) -> list[Panel]:
    """A panel for each thing that is said of N points, where they differ in it: "" is not given.

    >>> [panel.names for panel in make_panels({"site": ["b", ""], "label": ["a", "a"]})]
    [['b', 'not given']]
    """
    return [
        Panel(f"by {name}", *ordered([value or "not given" for value in said]))
        for name, said in values.items()
        if len(set(said)) > 1
    ]


def ordered(values: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """The distinct names, sorted, and the index (N,) of each value among them.

    >>> ordered(["b", "a", "b"])
    (['a', 'b'], array([1, 0, 1]))
    """
    names, of = np.unique(np.array(values, str), return_inverse=True)
    return names.tolist(), of


def _looks(panel: Panel) -> dict[str, tuple[list[int], dict]]:
    """Entry of the legend -> the groups that it stands for, and how their points are drawn."""
    ranked, most = _ranked(panel), NUMBERED if panel.numbered else ENTRIES
    named = sorted(ranked[:most])
    colours = panel.colours or palette(max(1, len(named)))
    looks = {}
    for position, group in enumerate(named):
        colour = colours[group if panel.colours else position]
        look = {"marker": SHAPES[position % len(SHAPES)], "color": hex_colour(colour)}
        name = panel.names[group]
        short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        while short in looks:  # names that are the same as far as they are shown
            short += " "
        looks[short] = ([group], look | {"alpha": 0.75, "zorder": 2})
    if rest := ranked[most:]:
        looks[f"{len(rest)} more"] = (rest, {"marker": ".", "color": hex_colour(NO_DATA)})
    return looks


def _columns(looks: Mapping[str, object], side: float) -> int:
    """How many columns of the legend fit beneath a panel of `side` inch."""
    longest = max(map(len, looks), default=0)
    return int(np.clip(LETTERS * side // (longest + 7), 1, 6))


def _draw(
    axes: Axes,
    points: np.ndarray,
    panel: Panel,
    looks: Mapping[str, tuple[list[int], dict]],
    *,
    columns: int,
) -> None:
    side = float(np.clip(9 - np.log2(max(1, len(points)) / 50), 3, 9))  # points across
    handles = []
    for name, (groups, look) in looks.items():
        drawn = {"linestyle": "none", "markeredgewidth": 0} | look
        axes.plot(*points[np.isin(panel.of, groups)].T, markersize=side, **drawn)
        handles.append(Line2D([], [], markersize=7, label=name, **drawn))
        if panel.numbered and len(groups) == 1:
            _write(axes, points[panel.of == groups[0]], name)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.01), "columnspacing": 1.2}
    axes.legend(handles=handles, ncols=columns, fontsize=9, handletextpad=0.2, **below)
    axes.set_title(panel.title, fontsize=10, loc="left")
    axes.set(xticks=[], yticks=[])  # the axes of a t-SNE mean nothing
    axes.spines[:].set(visible=True, color="0.7")
    axes.margins(0.05)


def _write(axes: Axes, points: np.ndarray, name: str) -> None:
    """A group's name on the one of its points that is nearest to their middle."""
    x, y = points[np.square(points - np.median(points, axis=0)).sum(axis=1).argmin()]
    halo = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    axes.text(x, y, name, ha="center", va="center", weight="bold", path_effects=halo, zorder=3)


def _ranked(panel: Panel) -> list[int]:
    """The groups that have points, from the largest to the smallest."""
    counts = np.bincount(panel.of, minlength=len(panel.names))
    order = np.argsort(-counts, kind="stable")
    return [int(group) for group in order if counts[group]]
