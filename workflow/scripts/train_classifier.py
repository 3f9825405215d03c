"""Train the tile classifier of one fold from the labels of its slides."""

import logging
import shutil
from pathlib import Path
from typing import Literal

from workflow.lib.clusters.cluster_networks import load_backbone
from workflow.lib.cohort.folds import in_fold
from workflow.lib.evidence.plain_cams import plain_evidence
from workflow.lib.jobs.devices import choose_precision, prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.networks.backbones import build_backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.heads import Pooling
from workflow.lib.networks.label_lessons import check_classes
from workflow.lib.networks.resuming import make_key
from workflow.lib.networks.training import Balance, train, weakness
from workflow.lib.refine.epoch_choices import EpochChoice, open_choice
from workflow.lib.tiles.bags import TileBag, open_bag
from workflow.lib.tiles.masked_slides import masked

log = logging.getLogger(__name__)


def train_classifier(
    tiles: list[Path],
    splits: Path,
    network: Path | None,
    assignments: list[Path] | None,
    tile_labels: list[Path] | None,
    classifier: Path,
    *,
    shard: Shard,
    fold: int,
    classes: list[str],
    backbone: str,
    stride: int | None,
    checkpoint: str,
    pooling: Pooling,
    heads: dict,
    choose_by: Literal["labels", "masks"],
    masks: int | None = None,
    negative: str | None = None,
    cam_scale: str | None = None,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    backbone_learning_rate_factor: float,
    precision: str,
    weight_decay: float,
    patience: int,
    balance: Balance,
    label_smoothing: float,
    augment: dict,
    seed: int,
    weights: Path | None,
    device: str,
    threads: int,
    work: Path,
) -> None:
    """Write the classifier of `fold`: weights, what they are, and the curves of their training.

    network: what DeepCluster learnt on this fold, where `checkpoint` is "deepcluster"
    heads: the settings of each pooling that has any
    assignments: the clusters of tiles, where `balance` is "clusters"
    tile_labels: the class of each tile, where it is not simply that of its slide
    masks, negative, cam_scale: of how many validation slides, where `choose_by` is masks, the cams
        are compared with their pixels to choose the epoch, and how cams become evidence
    """
    folder, learnt = tiles[0].parent, network.with_suffix("") if network else None
    clusters = assignments[0].parent if assignments else None
    own = tile_labels[0].parent if tile_labels else None
    placed = in_fold(read_table(splits), fold, "train", "val")
    held = in_fold(read_table(splits), fold, "val")  # of other slides no mask is looked at

    def open_split(split: str) -> TileBag:
        rows = [row for row in placed.values() if row["split"] == split]
        labels = {row["slide"]: classes.index(row["label"]) for row in rows}
        bag = open_bag(folder, labels, clusters, own)
        log.info("%s: %d tiles of %d slides.", split, len(bag), len(bag.slide.unique()))
        return bag

    def open_pixels() -> EpochChoice:
        drawing = {"negative": negative, "count": masks, "seed": seed, "fold": fold}
        return open_choice(folder, shard.slides, placed, work / "chosen", **drawing)

    def fit(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        computed = choose_precision(precision, where)
        training, validation = open_split("train"), open_split("val")
        check_classes(training.label, classes, fold)
        if learnt:
            start = load_backbone(learnt)
        else:
            start = build_backbone(backbone, checkpoint=checkpoint, weights=weights, seed=seed)
        if stride:
            start.dilate(stride)
        made_for = {key: training.stores[0].attrs[key] for key in ("tile_px", "mpp")}
        head = {"pooling": pooling, "settings": heads.get(pooling)}
        model = Classifier(start, classes, **head, **made_for)
        sources = [source for source in (folder, clusters, learnt, own) if source]
        choice = open_pixels() if choose_by == "masks" else None

        def judge() -> float:
            how = {"negative": negative, "scale": cam_scale, "batch": batch_size, "device": where}
            how["folder"] = work / "chosen"
            label = {slide: row["label"] for slide, row in placed.items()}
            return choice.pxap(lambda s, *bag: plain_evidence(model, *bag, label=label[s], **how))

        outcome = train(
            model,
            training,
            validation,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            backbone_learning_rate_factor=backbone_learning_rate_factor,
            precision=computed,
            weight_decay=weight_decay,
            label_smoothing=label_smoothing,
            patience=patience,
            balance=balance,
            augmentation=augment,
            seed=seed,
            device=where,
            work=work,
            key=make_key(shard.recipe, placed, sources, shard.facts(placed, held), computed, fold),
            judge=judge if choice else None,
            judged_by=choice.chosen_by if choice else "",
        )
        curves = outcome.pop("curves")
        write_table(unit / "curves.tsv", curves[0], curves)
        model.cpu().save(unit, {"checkpoint": checkpoint, **outcome})
        if warning := weakness(curves, outcome["best_epoch"], fold):
            log.warning(warning)
        sizes = {"train_tiles": len(training), "val_tiles": len(validation)}
        told = {"precision": computed, "warning": warning}
        told |= {"trained_on": training.slides, "chosen_on": validation.slides}
        told["masks"] = sorted(masked(own, placed)) if own else []
        if choice and outcome["chosen_by"] == choice.chosen_by:
            chosen = choice.facts()
            told |= chosen | {"masks": sorted({*told["masks"], *chosen["masks"]})}
            told["warning"] = " ".join(filter(None, [warning, *choice.warnings]))
        return {**outcome, **sizes, **told}

    made_of = [source for source in (folder, splits, learnt, clusters, own) if source]
    commit(classifier, shard, fit, upstream=made_of, only=set(placed), read=held)
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run(train_classifier, globals().get("snakemake"))
