"""Train the tile classifier of one fold from the labels of its slides."""

import logging
import shutil
from pathlib import Path

from workflow.lib.backbones import build_backbone
from workflow.lib.bags import TileBag
from workflow.lib.classifiers import Classifier
from workflow.lib.devices import choose_precision, prepare
from workflow.lib.job import run
from workflow.lib.recipe import digest
from workflow.lib.shard import Shard, commit
from workflow.lib.stores import Tiles
from workflow.lib.tables import read_table, write_table
from workflow.lib.training import train
from workflow.lib.units import manifest, usable

log = logging.getLogger(__name__)

WEAK_AUROC = 0.65  # below it, on validation tiles, a cam says little about where a class is


def train_classifier(
    tiles: list[Path],
    splits: Path,
    classifier: Path,
    *,
    shard: Shard,
    fold: int,
    classes: list[str],
    backbone: str,
    checkpoint: str,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    backbone_learning_rate_factor: float,
    precision: str,
    weight_decay: float,
    patience: int,
    balance: bool,
    label_smoothing: float,
    augment: dict,
    seed: int,
    weights: Path | None,
    device: str,
    threads: int,
    work: Path,
) -> None:
    """Write the classifier of `fold`: weights, what they are, and the curves of their training."""
    folder = tiles[0].parent
    placed = {
        row["slide"]: row
        for row in read_table(splits)
        if row["fold"] == str(fold) and row["split"] in ("train", "val")
    }

    def fit(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        computed = choose_precision(precision, where)
        bags = {split: _bag(folder, placed, split, classes) for split in ("train", "val")}
        _check_classes(bags["train"], classes, fold)
        store = bags["train"].stores[0]
        model = Classifier(
            build_backbone(backbone, checkpoint=checkpoint, weights=weights, seed=seed),
            classes,
            tile_px=store.attrs["tile_px"],
            mpp=store.attrs["mpp"],
        )
        made_from = {key: value for key, value in shard.recipe.items() if key != "slides"}
        recipes = {slide: manifest(folder / slide)["recipe"] for slide in sorted(placed)}
        outcome = train(
            model,
            bags["train"],
            bags["val"],
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
            key=digest([made_from, computed, fold, placed, recipes]),
        )
        curves = outcome.pop("curves")
        write_table(unit / "curves.tsv", curves[0], curves)
        model.cpu().save(unit, {"checkpoint": checkpoint, **outcome})
        sizes = {f"{split}_tiles": len(bag) for split, bag in bags.items()}
        warning = _judge(curves, outcome["best_epoch"], fold)
        return {**outcome, **sizes, "precision": computed, "warning": warning}

    commit(classifier, shard, fit, upstream=[folder, splits], only=set(placed))
    shutil.rmtree(work, ignore_errors=True)


def _bag(folder: Path, placed: dict[str, dict], split: str, classes: list[str]) -> TileBag:
    """The tiles of the split's slides, without those that are quarantined."""
    slides = usable(folder, [slide for slide, row in placed.items() if row["split"] == split])
    stores = [Tiles(folder / slide / "tiles.zarr") for slide in slides]
    bag = TileBag(slides, stores, [classes.index(placed[slide]["label"]) for slide in slides])
    log.info("%s: %d tiles of %d slides.", split, len(bag), len(bag.slide.unique()))
    return bag


def _check_classes(bag: TileBag, classes: list[str], fold: int) -> None:
    missing = [name for index, name in enumerate(classes) if not (bag.label == index).any()]
    if missing:
        raise ValueError(
            f"Fold {fold} has no training tile of class {', '.join(missing)}: its training slides "
            "are quarantined or hold too little tissue (verdicts.tsv and the log of tile_slide say "
            "which). Add slides of this class, or set split_patients.folds to fewer"
        )


def _judge(curves: list[dict], best_epoch: int, fold: int) -> str | None:
    """What speaks against localising with this classifier, as far as validation tiles show."""
    best = [row for row in curves if row["epoch"] == best_epoch and row["split"] == "val"]
    auroc = best[0]["auroc"] if best else None
    if auroc is None or auroc >= WEAK_AUROC:
        return None
    weak = (
        f"The classifier of fold {fold} reaches an AUROC of only {auroc:.2f} on validation tiles: "
        "too weak to localise from. Treat its cams and what is made of them with suspicion."
    )
    log.warning(weak)
    return weak


if __name__ == "__main__":
    run(train_classifier, globals().get("snakemake"))
