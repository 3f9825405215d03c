"""Learn, from the labels of slides, how much each of their tiles speaks for a class."""

import logging
import shutil
from pathlib import Path

import torch

from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.networks.aggregators import Aggregator, BagPooling
from workflow.lib.networks.bag_lessons import train
from workflow.lib.networks.feature_bags import FeatureBags, open_feature_bags
from workflow.lib.networks.label_lessons import check_classes
from workflow.lib.networks.resuming import make_key

log = logging.getLogger(__name__)


def train_aggregator(
    features: list[Path],
    splits: Path,
    aggregator: Path,
    *,
    shard: Shard,
    fold: int,
    classes: list[str],
    pooling: BagPooling,
    top_tiles: int | None = None,
    hidden: int,
    dropout: float,
    epochs: int,
    learning_rate: float,
    weight_decay: float,
    patience: int,
    max_tiles: int,
    seed: int,
    device: str,
    threads: int,
    work: Path,
) -> None:
    """Write the aggregator of `fold`: weights, what they are, and the curves of their training.

    It learns from the training slides; the validation slides choose the epoch. `top_tiles` is of
    the pooling `top_k` and is not read by `attention`.
    """
    folder = features[0].parent
    placed = in_fold(read_table(splits), fold, "train", "val")

    def open_split(split: str) -> FeatureBags:
        rows = [row for row in placed.values() if row["split"] == split]
        bags = open_feature_bags(folder, {r["slide"]: classes.index(r["label"]) for r in rows})
        log.info("%s: %d of %d slides have tiles.", split, len(bags), len(rows))
        return bags

    def fit(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        training, validation = open_split("train"), open_split("val")
        check_classes(training.label, classes, fold)
        torch.manual_seed(seed)
        width = training.everything().dimension
        top = top_tiles if pooling == "top_k" else None
        model = Aggregator(width, classes, hidden=hidden, dropout=dropout, top_tiles=top)
        outcome = train(
            model,
            training,
            validation,
            epochs=epochs,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            patience=patience,
            max_tiles=max_tiles,
            seed=seed,
            device=where,
            work=work,
            key=make_key(shard.recipe, placed, [folder], fold),
        )
        curves = outcome.pop("curves")
        write_table(unit / "curves.tsv", curves[0], curves)
        facts = {**outcome, "made_by": training.made_by}
        model.cpu().save(unit, facts)
        sizes = {"train_slides": len(training), "val_slides": len(validation)}
        told = {"trained_on": training.slides, "chosen_on": validation.slides}
        return {**facts, **sizes, **told, "precision": "fp32"}

    commit(aggregator, shard, fit, upstream=[folder, splits], only=set(placed))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run(train_aggregator, globals().get("snakemake"))
