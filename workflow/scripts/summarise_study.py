"""Gather every metric of a study into one table, unless a threshold behind one crosses a fold."""

import logging
from pathlib import Path

from workflow.lib.cohort.audit import refuse
from workflow.lib.cohort.audit_models import check_thresholds
from workflow.lib.jobs.job import run
from workflow.lib.jobs.names import PERMUTED
from workflow.lib.jobs.tables import METRICS, read_table, write_table

log = logging.getLogger(__name__)


def summarise_study(
    tables: list[Path], thresholds: list[Path] | None, splits: Path, metrics: Path, *, permute: bool
) -> None:
    """Write the rows of `tables` as one tidy table, sorted and without a row twice.

    Where labels were permuted, every method says so in its name. `thresholds` tell which slides
    chose them: these come after the audit, so that it is here that one chosen on tested slides
    fails the run.
    """
    chosen = [row for table in thresholds or () for row in read_table(table)]
    check = check_thresholds(chosen, read_table(splits))
    refuse([check])
    log.info(check.row()["sentence"])
    rows = {}
    for table in sorted(tables):
        for row in read_table(table):
            if tuple(row) != METRICS:
                raise ValueError(f"{table.name} has columns {list(row)}, not {list(METRICS)}")
            key = tuple(row[name] for name in METRICS[:5])
            if key in rows:
                raise ValueError(f"{table.name} gives {' '.join(key)} a second time")
            rows[key] = row | {"method": f"{row['method']}{PERMUTED}"} if permute else row
    ordered = sorted(rows.values(), key=_order)
    write_table(metrics, METRICS, ordered)
    if permute:
        log.warning("Labels were permuted among patients: no number of this study is a finding.")
    log.info("%d numbers from %d tables.", len(ordered), len(tables))


def _order(row: dict[str, str]) -> tuple:
    """By level, method and metric; the folds in numerical order, all of them together last."""
    fold = row["fold"]
    number = (0, int(fold), "") if fold.isdecimal() else (1, 0, fold)
    return row["level"], row["method"], row["metric"], row["split"], number


if __name__ == "__main__":
    run(summarise_study, globals().get("snakemake"))
