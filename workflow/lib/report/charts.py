"""The charts of the page, from the rows of tables."""

from collections.abc import Mapping, Sequence

from workflow.lib.report.figures import Line, draw_confusion, draw_lines
from workflow.lib.report.pages import embed_svg

Row = dict[str, str]
Lines = dict[str, Line]
DIAGONAL = ([0.0, 1.0], [0.0, 1.0])
# Columns of the curves of a clustering that share a pair of axes -> how both are called.
LEARNING = {
    ("loss",): "what the network minimises",
    ("kmeans_loss",): "squared distance of a tile to its centroid",
    ("nmi", "churn"): "clusters against those before: NMI, share of tiles that change; dotted: when"
    " they count as standing still",
    ("probe",): "linear probe, AUROC on validation tiles",
}
NAMES = {"kmeans_loss": "k-means loss", "nmi": "NMI", "probe": "AUROC"}


def label_charts(
    points: Sequence[Row], counts: Sequence[Sequence[int]], classes: Sequence[str]
) -> list[dict]:
    """ROC and precision-recall curves and the confusion of the classifier, as far as defined.

    The titles name the class where all curves are of one.
    """
    charts, names = [], {row["class"] for row in points}
    of = f" of {next(iter(names))}" if len(names) == 1 else ""
    if lines := roc_lines(points):
        named = {"x": "false positive rate", "y": "recall"}
        drawn = draw_lines(lines, **named, unit_square=True, chance=DIAGONAL)
        charts.append(_chart(f"ROC{of}, all folds", drawn))
    if lines := precision_lines(points):
        drawn = draw_lines(lines, x="recall", y="precision", unit_square=True, steps=True)
        charts.append(_chart(f"Precision and recall{of}, all folds", drawn))
    if counts:
        charts.append(_chart("Confusion of slides, all folds", draw_confusion(counts, classes)))
    return charts


def pixel_charts(points: Mapping[str, Sequence[Row]]) -> list[dict]:
    """Precision against recall of pixels: one line per method, where there is pixel truth."""
    lines = pixel_lines(points)
    if not lines:
        return []
    xs, ys = next(iter(lines.values()))
    share = ys[xs.index(max(xs))]  # at the lowest threshold every pixel is marked
    chance = ([0.0, 1.0], [share, share])
    drawn = draw_lines(lines, x="recall", y="precision", unit_square=True, chance=chance)
    return [_chart("Precision and recall of pixels, all folds", drawn)]


def training_chart(name: str, rows: Sequence[Row], kept: int) -> dict:
    """Loss over epochs per split, with the epoch that was kept and how well it told the classes."""
    lines = loss_lines(rows)
    drawn = draw_lines(lines, x="epoch", y="loss", marks=marks_at(lines, kept))
    judged = [row for row in rows if row["split"] == "val" and row["epoch"] == str(kept)]
    auroc = judged[0].get("auroc") if judged else None
    note = f": AUROC {float(auroc):.2f} on validation tiles" if auroc else ""
    return _chart(f"{name}{note}", drawn)


def learning_charts(
    rows: Sequence[Row],
    kept: int,
    *,
    step: str,
    settings: Mapping,
    start_probe: float | None = None,
) -> list[dict]:
    """A chart for each kind of number that was measured; dots mark the round that was kept.

    rows: epoch, loss, kmeans_loss, nmi, churn, probe, each "" where it was not measured.
    step: what an epoch is called, such as round.
    settings: of the training, whose limits of standing still are drawn beside what they judge
    start_probe: of the network before it learnt, None where it was not measured
    """
    charts = []
    for columns, title in LEARNING.items():
        lines = {
            NAMES.get(column, column): line
            for column in columns
            if (line := _measured(rows, column))
        }
        if not lines:
            continue
        ends = [x for xs, _ in lines.values() for x in (xs[0], xs[-1])]
        chance, levels = None, {}
        if columns == ("probe",):
            chance = [min(ends), max(ends)], [0.5, 0.5]
            levels = {} if start_probe is None else {"start": start_probe}
        elif columns == ("nmi", "churn"):
            levels = _limits(settings)
        drawn = draw_lines(
            lines,
            x=step,
            y=" and ".join(lines),
            chance=chance,
            levels=levels,
            marks=marks_at(lines, kept),
        )
        charts.append(_chart(title, drawn))
    return charts


def roc_lines(rows: Sequence[Row]) -> Lines:
    """Level and class -> false positive rates and recalls, from the corner where nothing is."""
    lines = _lines(rows, "false_positive_rate", "recall")
    for xs, ys in lines.values():
        xs.insert(0, 0.0)
        ys.insert(0, 0.0)
    return lines


def precision_lines(rows: Sequence[Row]) -> Lines:
    """Level and class -> recalls and precisions; the first point holds back to recall 0."""
    lines = _lines(rows, "recall", "precision")
    for xs, ys in lines.values():
        xs.insert(0, 0.0)
        ys.insert(0, ys[0])
    return lines


def pixel_lines(points: Mapping[str, Sequence[Row]]) -> Lines:
    """Method -> recalls and precisions of its pixels."""
    lines: Lines = {}
    for method, rows in points.items():
        drawn = [row for row in rows if _is_pooled(row) and row["precision"] and row["recall"]]
        if drawn:
            lines[method] = tuple([float(row[y]) for row in drawn] for y in ("recall", "precision"))
    return lines


def loss_lines(rows: Sequence[Row]) -> Lines:
    """Split -> epochs and losses of a training."""
    lines: Lines = {}
    for row in rows:
        if row["loss"]:
            xs, ys = lines.setdefault(row["split"], ([], []))
            xs.append(int(row["epoch"]))
            ys.append(float(row["loss"]))
    return lines


def marks_at(lines: Lines, x: float) -> dict[str, tuple[float, float]]:
    """The point of each line at `x`, where it has one."""
    return {name: (x, ys[xs.index(x)]) for name, (xs, ys) in lines.items() if x in xs}


def _limits(settings: Mapping) -> dict[str, float]:
    """What is written on a limit -> where it is: of DeepCluster's rounds, of DCEC's epochs."""
    if "stop" in settings:
        stop = settings["stop"]
        return {"NMI limit": stop["nmi"], "churn limit": stop["churn"]}
    return {"tolerance": settings["tolerance"]}


def _measured(rows: Sequence[Row], column: str) -> Line | None:
    """The measured values of a column, over the epochs that have one."""
    measured = [row for row in rows if row.get(column)]
    if not measured:
        return None
    return [int(row["epoch"]) for row in measured], [float(row[column]) for row in measured]


def _lines(rows: Sequence[Row], x: str, y: str) -> Lines:
    lines: Lines = {}
    for row in rows:
        if _is_pooled(row) and row[x] and row[y]:
            xs, ys = lines.setdefault(f"{row['level']}: {row['class']}", ([], []))
            xs.append(float(row[x]))
            ys.append(float(row[y]))
    return lines


def _is_pooled(row: Row) -> bool:
    return row["fold"] == "all"


def _chart(title: str, svg: str) -> dict:
    return {"title": title, "source": embed_svg(svg)}
