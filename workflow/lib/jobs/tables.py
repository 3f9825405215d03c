"""Tables as tab-separated text: what the metrics are made of and what a spreadsheet opens."""

import csv
import math
import re
from collections.abc import Iterable
from pathlib import Path

METRICS = (
    "fold",
    "split",
    "level",
    "method",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n",
    "pixel_masks_used",
)
FORMULA = ("=", "+", "-", "@")  # what a spreadsheet takes for the start of a formula
NUMBER = re.compile(r"-\d+(\.\d+)?(e[+-]?\d+)?")  # what it takes for a negative number
NOT_DEFINED = (math.nan, math.nan)


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a table as text, an empty cell as "", as they were before `cell` guarded them."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [{name: _unguarded(text) for name, text in row.items()} for row in rows]


def write_table(path: Path, columns: Iterable[str], rows: Iterable[dict]) -> None:
    """Write rows that have exactly `columns`. Numbers get six digits, NaN and None are empty.

    Text that a spreadsheet would run as a formula gets an apostrophe in front, and tabs and line
    breaks become spaces. Raises ValueError for a row with other columns.
    """
    columns = list(columns)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            if set(row) != set(columns):
                raise ValueError(f"{path.name} has columns {columns}, not {sorted(row)}")
            writer.writerow([cell(row[column]) for column in columns])


def metric_row(
    metric: str,
    value: float,
    interval: tuple[float, float] = NOT_DEFINED,
    *,
    fold: str,
    level: str,
    method: str,
    n: int,
    pixel_masks_used: int = 0,
) -> dict:
    """One row of a metrics table: out of fold (split test), `n` slides.

    `pixel_masks_used` is how many pixel masks, or slides with points, models learnt from or a
    choice was made with. A metric that is undefined is empty, and so is its interval: it is never
    written as 0.
    """
    if not math.isfinite(value):
        interval = NOT_DEFINED
    cells = (fold, "test", level, method, metric, float(value), *interval, n, pixel_masks_used)
    return dict(zip(METRICS, cells, strict=True))


def cell(value: object) -> str:
    """One cell as text.

    >>> [cell(value) for value in (0.123456789, float("nan"), None, 3, "=cmd()", "-0.5")]
    ['0.123457', '', '', '3', "'=cmd()", '-0.5']
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    if isinstance(value, str):
        text = " ".join(text.split()) if any(letter in text for letter in "\t\r\n") else text
        if text.lstrip("'").startswith(FORMULA) and not NUMBER.fullmatch(text):
            text = f"'{text}"
    return text


def _unguarded(text: str) -> str:
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA) else text
