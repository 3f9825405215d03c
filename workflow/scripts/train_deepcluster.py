"""Train a network of one fold on the clusters of its own features."""

import logging
import shutil
from pathlib import Path

from workflow.lib.clusters.cluster_networks import ClusterNetwork
from workflow.lib.clusters.deepcluster import Course, learn
from workflow.lib.clusters.learning_sets import gather, sides
from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.devices import choose_precision, prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.networks.resuming import make_key

log = logging.getLogger(__name__)

FEWER = "Fold %d: %d clusters instead of %d, because no more of the %d tiles differ to the network."


def train_deepcluster(
    tiles: list[Path],
    splits: Path,
    clusters: Path,
    *,
    shard: Shard,
    fold: int,
    fit_on: str,
    classes: list[str],
    backbone: str,
    checkpoint: str,
    channels: str,
    count: int,
    pca: int,
    iterations: int,
    rounds: int,
    passes: int,
    batch_size: int,
    learning_rate: float,
    weight_decay: float,
    precision: str,
    max_tiles: int,
    stop: dict,
    augment: dict,
    seed: int,
    weights: Path | None,
    device: str,
    batch: int,
    threads: int,
    work: Path,
) -> None:
    """Write the network of `fold`, its clusters, and the curves of their training.

    It learns from the tiles of the fold's training slides, or of all slides with `fit_on` all, to
    `max_tiles` at most; above that, tiles are drawn at random, each with the same chance. Labels
    only choose the round that is kept, by a probe of training tiles on validation tiles.
    """
    folder, placed = tiles[0].parent, in_fold(read_table(splits), fold, *sides(fit_on))

    def fit(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        computed = choose_precision(precision, where)
        chosen = gather(
            folder,
            placed,
            classes=classes,
            fold=fold,
            fit_on=fit_on,
            max_tiles=max_tiles,
            seed=seed,
        )
        built = build_backbone(
            backbone, checkpoint=checkpoint, weights=weights, seed=seed, channels=channels
        )
        network = ClusterNetwork(built, checkpoint=checkpoint, **chosen.made)
        course = Course(
            network=network,
            bag=chosen.bag,
            rows=chosen.rows,
            watched=chosen.watched,
            count=count,
            pca=pca,
            iterations=iterations,
            passes=passes,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            precision=computed,
            augmentation=augment,
            seed=seed,
            device=where,
            batch=batch,
        )
        key = make_key(shard.recipe, placed, [folder], fold, computed)
        outcome = learn(course, rounds=rounds, stop=stop, work=work, key=key)
        found = outcome.pop("clusters")
        if len(found.centroids) < count:
            log.warning(FEWER, fold, len(found.centroids), count, len(chosen.rows))
        facts = chosen.write(unit, network, found, outcome, encoder=f"deepcluster:{backbone}")
        return {**facts, "precision": computed}

    commit(clusters, shard, fit, upstream=[folder, splits], only=set(placed))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run(train_deepcluster, globals().get("snakemake"))
