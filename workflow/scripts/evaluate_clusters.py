"""Compare clusters with labels, out of fold, and ask what else they follow."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.clusters.cluster_questions import ENRICHMENT, Assigned, answers, enriched
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import METRICS, metric_row, read_table, write_table
from workflow.lib.jobs.units import usable
from workflow.lib.tiles.stores import open_group

log = logging.getLogger(__name__)


def evaluate_clusters(
    assignments: list[Path],
    splits: Path,
    evaluation: Path,
    enrichment: Path,
    *,
    shard: Shard,
    clustering: str,
    seed: int,
    bootstrap: int,
) -> None:
    """Write how far the clusters of each fold follow labels, sites and patients.

    Labels are compared on the test slides of the fold. What gives a site or a patient away is
    asked of all slides that the fold's clusters were assigned to: it is a question about clusters.
    `all` is the mean of the folds: their tiles cannot be pooled, because cluster 3 of one fold is
    not cluster 3 of another.
    """
    sites = {slide.slide: slide.site or "" for slide in shard.slides}
    placed = [row for row in read_table(splits) if row["slide"] in sites]
    folds: dict[str, list[Assigned]] = {}
    for folder in sorted({index.parent for index in assignments}):
        fold = folder.name.removeprefix("fold")
        members = {row["slide"]: row for row in placed if row["fold"] == fold}
        counts = {slide: _sizes(folder / slide) for slide in usable(folder, members)}
        width = max([0, *map(len, counts.values())])
        found = [
            Assigned(
                slide,
                members[slide]["patient"],
                members[slide]["label"] if members[slide]["split"] == "test" else "",
                sites[slide],
                np.pad(own, (0, width - len(own))),
            )
            for slide, own in counts.items()
            if own.any()
        ]
        if found:
            folds[fold] = found
    pools = {fold: [found] for fold, found in folds.items()}
    pools |= {"all": list(folds.values())} if folds else {}
    about = {"level": "tile", "method": clustering}
    rows = [
        metric_row(name, *value, **about, fold=fold, n=n)
        for fold, parts in pools.items()
        for name, value, n in answers(parts, replicates=bootstrap, seed=seed)
    ]
    write_table(evaluation, METRICS, rows)
    cells = [
        {"fold": fold, **row}
        for fold, slides in folds.items()
        for row in enriched(slides, replicates=bootstrap, seed=seed)
    ]
    write_table(enrichment, ENRICHMENT, cells)
    log.info("%d clusterings examined: %d numbers.", len(folds), len(rows))


def _sizes(unit: Path) -> np.ndarray:
    """How many readable tiles of a slide each cluster has."""
    group = open_group(unit / "assignments.zarr")
    return np.bincount(group["assignments"][:][~group["bad"][:]], minlength=1)


if __name__ == "__main__":
    run(evaluate_clusters, globals().get("snakemake"))
