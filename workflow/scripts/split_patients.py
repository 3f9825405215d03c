"""Decide which patients train, validate and test."""

import logging
import os
from pathlib import Path

from workflow.lib.cohort import splits as placing
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import write_table

log = logging.getLogger(__name__)


def split_patients(
    splits: Path, *, shard: Shard, folds: int, val_fraction: float, group_by: str, seed: int
) -> None:
    """Write one row per fold and slide: fold, slide, patient, label, split (train, val or test)."""
    rows = placing.split_patients(
        shard.slides, folds=folds, val_fraction=val_fraction, group_by=group_by, seed=seed
    )
    draft = splits.with_name(f".{splits.name}.draft")
    write_table(draft, placing.Placement._fields, (row._asdict() for row in rows))
    os.replace(draft, splits)
    log.info(
        "Placed %d slides of %d patients; folds: %d.",
        len(shard.slides),
        len({row.patient for row in rows}),
        rows[-1].fold + 1,
    )
    for fold, split, label in placing.missing_classes(rows):
        log.warning(
            "Fold %d has no %s slide labelled %s; scores that compare classes are empty there.",
            fold,
            {"val": "validation", "test": "test"}[split],
            label,
        )


if __name__ == "__main__":
    run(split_patients, globals().get("snakemake"))
