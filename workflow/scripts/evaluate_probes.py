"""Pool the linear probes of all folds, with intervals over patients."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.clusters.linear_probes import Probe
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import METRICS, read_table, write_table
from workflow.lib.measures.label_tables import positive_class
from workflow.lib.measures.probe_tables import probe_rows
from workflow.lib.tiles.stores import open_group

log = logging.getLogger(__name__)


def evaluate_probes(
    probes: list[Path],
    splits: Path,
    evaluation: Path,
    *,
    shard: Shard,
    classes: list[str],
    negative: str | None,
    clustering: str,
    seed: int,
    bootstrap: int,
) -> None:
    """Write the AUROC of every probe over the test slides of all folds, and what training gained.

    A fold without probes adds no slide; without any, the table is empty.
    """
    known = {slide.slide for slide in shard.slides}
    tested = {
        (row["fold"], row["slide"]): row
        for row in read_table(splits)
        if row["split"] == "test" and row["slide"] in known
    }
    scores: dict[Probe, list[np.ndarray]] = {}
    rows, slides, first = [], [], None
    for index in sorted(probes, key=lambda file: int(file.stem.removeprefix("fold"))):
        group = open_group(index.with_suffix("") / "scores.zarr")
        fold, names = str(group.attrs["fold"]), group.attrs["slides"]
        if group.attrs["classes"] != classes:
            raise RuntimeError(
                f"Fold {fold} was probed for {group.attrs['classes']}, but {classes} are expected:"
                " probe its networks again"
            )
        if others := [name for name in names if (fold, name) not in tested]:
            raise RuntimeError(
                f"Fold {fold} was probed on {', '.join(others)}, which it does not test: probe its"
                " networks again"
            )
        found = [Probe(*probe) for probe in group.attrs["probes"]]
        if not found:
            log.warning("Fold %s has no probe; its %d test slides do not count.", fold, len(names))
            continue
        first = first or (fold, found)
        if found != first[1]:
            raise RuntimeError(
                f"Folds {first[0]} and {fold} were probed at other layers or networks, and cannot "
                "be pooled: probe them again"
            )
        slides.append(group["slide"][:] + len(rows))
        rows += [tested[fold, name] for name in names]
        for number, probe in enumerate(found):
            scores.setdefault(probe, []).append(group[f"probability{number}"][:])
    table: list[dict] = []
    if sum(map(len, slides)):
        positive = positive_class(classes, negative)
        table += probe_rows(
            {probe: np.concatenate(parts) for probe, parts in scores.items()},
            np.concatenate(slides),
            labels=np.array([classes.index(row["label"]) for row in rows]),
            patients=[row["patient"] for row in rows],
            clustering=clustering,
            positive=None if positive is None else classes.index(positive),
            replicates=bootstrap,
            seed=seed,
        )
    write_table(evaluation, METRICS, table)
    log.info("%d probes judged on %d slides.", len(scores), len(rows))


if __name__ == "__main__":
    run(evaluate_probes, globals().get("snakemake"))
