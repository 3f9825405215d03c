"""Compare clusters with labels, out of fold."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.bootstrap import Measured, measure
from workflow.lib.job import run
from workflow.lib.label_metrics import clusters_against_labels
from workflow.lib.shard import Shard
from workflow.lib.stores import open_group
from workflow.lib.tables import METRICS, metric_row, read_table, write_table
from workflow.lib.units import usable

log = logging.getLogger(__name__)


def evaluate_clusters(
    assignments: list[Path],
    splits: Path,
    evaluation: Path,
    *,
    shard: Shard,
    seed: int,
    bootstrap: int,
) -> None:
    """Write how the clusters of each fold agree with the labels of its test slides' tiles.

    `all` is the mean of the folds: their tiles cannot be pooled, because cluster 3 of one fold is
    not cluster 3 of another.
    """
    known = {slide.slide for slide in shard.slides}
    placed = [row for row in read_table(splits) if row["slide"] in known and row["label"]]
    tested = [row for row in placed if row["split"] == "test"]
    labels = sorted({row["label"] for row in tested})
    folds = {}
    for folder in sorted({index.parent for index in assignments}):
        fold = folder.name.removeprefix("fold")
        members = {row["slide"]: row for row in tested if row["fold"] == fold}
        sizes = {slide: _sizes(folder / slide) for slide in usable(folder, members)}
        if found := [(members[slide], counts) for slide, counts in sizes.items() if counts.any()]:
            folds[fold] = found
    pools = {fold: [found] for fold, found in folds.items()}
    pools |= {"all": list(folds.values())} if folds else {}
    rows = []
    for fold, parts in pools.items():
        about = {"fold": fold, "level": "tile", "method": "kmeans", "n": sum(map(len, parts))}
        for name, measured in _measure(parts, labels, replicates=bootstrap, seed=seed).items():
            rows.append(metric_row(name, *measured, **about))
    write_table(evaluation, METRICS, rows)
    log.info("Clusters of %d folds held against %d labels.", len(folds), len(labels))


def _sizes(unit: Path) -> np.ndarray:
    """How many readable tiles of a slide each cluster has."""
    group = open_group(unit / "assignments.zarr")
    return np.bincount(group["assignments"][:][~group["bad"][:]], minlength=1)


def _measure(
    folds: list[list[tuple[dict, np.ndarray]]], labels: list[str], *, replicates: int, seed: int
) -> dict[str, Measured]:
    """The mean over folds of their agreement, with intervals over all of their patients."""
    patients = sorted({row["patient"] for fold in folds for row, _ in fold})
    tables = []  # per fold: tiles by patient, cluster and label
    for fold in folds:
        table = np.zeros((len(patients), max(len(s) for _, s in fold), len(labels)), np.int64)
        for row, sizes in fold:
            cell = table[patients.index(row["patient"]), : len(sizes), labels.index(row["label"])]
            cell += sizes
        tables.append(table)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        found = [clusters_against_labels(np.tensordot(weights, table, 1)) for table in tables]
        return {name: np.mean([each[name] for each in found], axis=0) for name in found[0]}

    return measure(metrics, patients=len(patients), replicates=replicates, seed=seed)


if __name__ == "__main__":
    run(evaluate_clusters, globals().get("snakemake"))
