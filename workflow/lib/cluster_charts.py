"""How a clustering was learnt, as charts of the page, from the rows of its curves."""

from collections.abc import Sequence

from workflow.lib.charts import Row, marks_at
from workflow.lib.figures import Line, draw_lines
from workflow.lib.pages import embed_svg

# Columns that share a pair of axes -> what they are called together.
CHARTS = {
    ("loss",): "what the network minimises",
    ("kmeans_loss",): "squared distance of a tile to its centroid",
    ("nmi", "churn"): "clusters against those before: NMI, share of tiles that change",
    ("probe",): "linear probe, AUROC on validation tiles",
}
NAMES = {"kmeans_loss": "k-means loss", "nmi": "NMI", "probe": "AUROC"}


def learning_charts(rows: Sequence[Row], kept: int, *, step: str) -> list[dict]:
    """A chart for each kind of number that was measured; dots mark the round that was kept.

    rows: epoch, loss, kmeans_loss, nmi, churn, probe, each "" where it was not measured.
    step: what an epoch is called, such as round.
    """
    charts = []
    for columns, title in CHARTS.items():
        lines = {
            NAMES.get(column, column): line for column in columns if (line := _line(rows, column))
        }
        if not lines:
            continue
        ends = [x for xs, _ in lines.values() for x in (xs[0], xs[-1])]
        chance = ([min(ends), max(ends)], [0.5, 0.5]) if columns == ("probe",) else None
        drawn = draw_lines(
            lines, x=step, y=" and ".join(lines), chance=chance, marks=marks_at(lines, kept)
        )
        charts.append({"title": title, "source": embed_svg(drawn)})
    return charts


def _line(rows: Sequence[Row], column: str) -> Line | None:
    """The measured values of a column, over the epochs that have one."""
    measured = [row for row in rows if row.get(column)]
    if not measured:
        return None
    return [int(row["epoch"]) for row in measured], [float(row[column]) for row in measured]
