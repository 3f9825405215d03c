"""Train an autoencoder of one fold whose code is sharpened into clusters."""

import logging
import shutil
from pathlib import Path

import numpy as np

from workflow.lib.clusters.autoencoders import Autoencoder
from workflow.lib.clusters.clusters import Clusters
from workflow.lib.clusters.dcec import Course, train
from workflow.lib.clusters.learning_sets import gather, sides
from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table
from workflow.lib.networks.resuming import make_key

log = logging.getLogger(__name__)


def train_dcec(
    tiles: list[Path],
    splits: Path,
    clusters: Path,
    *,
    shard: Shard,
    fold: int,
    fit_on: str,
    classes: list[str],
    count: int,
    embedding: int,
    side_px: int,
    pretrain_epochs: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    gamma: float,
    update_every: int,
    tolerance: float,
    max_tiles: int,
    seed: int,
    device: str,
    threads: int,
    work: Path,
) -> None:
    """Write the autoencoder of `fold`, the clusters of its codes, and the curves of its training.

    It learns from the tiles of the fold's training slides, or of all slides with `fit_on` all, to
    `max_tiles` at most; above that, tiles are drawn at random, each with the same chance. Labels
    choose nothing: a probe of training tiles on validation tiles only shows how it goes.
    """
    folder, placed = tiles[0].parent, in_fold(read_table(splits), fold, *sides(fit_on))

    def fit(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        chosen = gather(
            folder,
            placed,
            classes=classes,
            fold=fold,
            fit_on=fit_on,
            max_tiles=max_tiles,
            seed=seed,
        )
        model = Autoencoder(embedding, side_px, **chosen.made).untrained(seed)
        course = Course(
            model=model,
            bag=chosen.bag,
            rows=chosen.rows,
            watched=chosen.watched,
            batch_size=batch_size,
            learning_rate=learning_rate,
            gamma=gamma,
            seed=seed,
            device=where,
        )
        outcome = train(
            course,
            count=count,
            pretrain_epochs=pretrain_epochs,
            epochs=epochs,
            update_every=update_every,
            tolerance=tolerance,
            work=work,
            key=make_key(shard.recipe, placed, [folder], fold),
        )
        centroids = outcome.pop("centroids")
        codes = {"mean": np.zeros(embedding, np.float32), "scale": np.ones(embedding, np.float32)}
        axes = np.eye(embedding, dtype=np.float32)  # codes are clustered as they are
        found = Clusters(**codes, components=axes, centroids=centroids, unit=False)
        return chosen.write(unit, model, found, outcome, encoder="dcec")

    commit(clusters, shard, fit, upstream=[folder, splits], only=set(placed))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run(train_dcec, globals().get("snakemake"))
