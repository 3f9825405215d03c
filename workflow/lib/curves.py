"""The lines of the report's figures, from the rows of tables."""

from collections.abc import Sequence

Row = dict[str, str]
Lines = dict[str, tuple[list[float], list[float]]]
CHANCE = "chance"


def roc_lines(rows: Sequence[Row]) -> Lines:
    """Level and class -> false positive rates and recalls, all folds; from 0, 0 on, with chance."""
    lines = _lines(rows, "false_positive_rate", "recall")
    for xs, ys in lines.values():
        xs.insert(0, 0.0)
        ys.insert(0, 0.0)
    return lines | ({CHANCE: ([0.0, 1.0], [0.0, 1.0])} if lines else {})


def precision_lines(rows: Sequence[Row]) -> Lines:
    """Level and class -> recalls and precisions, all folds."""
    return _lines(rows, "recall", "precision")


def pixel_lines(tables: dict[str, Sequence[Row]]) -> Lines:
    """Method -> recalls and precisions of its pixels, all folds, with what a constant map gets."""
    lines = {}
    for method, rows in tables.items():
        rows = [row for row in rows if _is_pooled(row) and row["precision"] and row["recall"]]
        if rows:
            lines[method] = ([float(r["recall"]) for r in rows], [float(r["precision"]) for r in rows])
    if lines:
        chance = min(next(iter(lines.values()))[1])
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
