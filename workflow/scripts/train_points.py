"""Train on points: the decoder of one fold, from pixels that somebody marked on a few slides."""

import logging
import shutil
from pathlib import Path

from workflow.lib.bags import open_bag
from workflow.lib.classifiers import Classifier
from workflow.lib.decoders import Decoder
from workflow.lib.devices import choose_precision, prepare
from workflow.lib.fitting import fit
from workflow.lib.job import run
from workflow.lib.point_lessons import PointLesson, make_point_sampler, open_point_bag
from workflow.lib.resuming import make_key
from workflow.lib.seed_bags import cam_bag
from workflow.lib.seed_lessons import make_sampler
from workflow.lib.shard import Shard, commit
from workflow.lib.tables import read_table, write_table
from workflow.lib.units import manifest

log = logging.getLogger(__name__)

CHOSEN_BY = "the last epoch, when the learning rate has come down to zero"


def train_points(
    tiles: list[Path],
    cams: list[Path] | None,
    points: list[Path],
    splits: Path,
    classifier: Path,
    decoder: Path,
    *,
    shard: Shard,
    fold: int,
    negative: str | None,
    cam_scale: str,
    radius_um: float,
    use_cam: bool,
    foreground_pixels: int,
    background_pixels: int,
    dilate_px: int,
    seed_weight: float,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    precision: str,
    weight_decay: float,
    augment: dict,
    seed: int,
    device: str,
    threads: int,
    work: Path,
) -> None:
    """Write the decoder of `fold`: weights, what they are, and the curves of their training.

    It learns from the points and the labels of the training slides, and with `use_cam` from their
    cams. Points are pixel labels, so every slide that some of them are used of counts as one pixel
    mask; points of validation and test slides are not looked at.
    """
    trained, marked = classifier.with_suffix(""), points[0].parent
    evidence = cams[0].parent if use_cam else None
    placed = {row["slide"]: row for row in read_table(splits) if int(row["fold"]) == fold}
    placed = {slide: row for slide, row in placed.items() if row["split"] == "train"}
    sources = [tiles[0].parent, marked, trained] + ([evidence] if use_cam else [])
    drawing = {
        "foreground_pixels": foreground_pixels,
        "background_pixels": background_pixels,
        "dilate_px": dilate_px,
    }

    def make(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        used = choose_precision(precision, where)
        bag = open_point_bag(
            tiles[0].parent,
            marked,
            placed,
            negative=negative,
            radius_um=radius_um,
            cams=evidence,
            cam_scale=cam_scale,
        )
        learnt_from = {slide: count for slide, count in bag.counts.items() if count}
        if not learnt_from:
            raise ValueError(
                f"Fold {fold} has no point in a tile of a training slide; fill the column points "
                "of the sheet for more patients, or take points out of refine_masks.methods"
            )
        count = sum(learnt_from.values())
        log.info("train: %d points of %d slides.", count, len(learnt_from))
        cam_seeds = make_sampler(seeds="cam", background="intended", **drawing)
        lesson = PointLesson(
            Decoder(Classifier.load(trained)),
            bag,
            cam_bag(open_bag(tiles[0].parent, {}), [], 1),
            make_point_sampler(cam_seeds if use_cam else None),
            seed_weight=seed_weight,
            batch_size=batch_size,
            augmentation=augment,
            precision=used,
            seed=seed,
            device=where,
        )
        outcome = fit(
            lesson,
            lesson.groups(learning_rate, weight_decay),
            epochs=epochs,
            patience=None,
            seed=seed,
            work=work,
            key=make_key(shard.recipe, placed, sources, used, fold),
        )
        curves = outcome.pop("curves")
        write_table(unit / "curves.tsv", curves[0], curves)
        facts = {"best_epoch": outcome["best_epoch"], "chosen_by": CHOSEN_BY, "precision": used}
        facts |= {"points": count, "masks": sorted(learnt_from)}
        made = {"method": "points", "settings": shard.recipe["settings"], "fold": fold}
        lesson.model.cpu().save(unit, {**facts, **made}, trained_on=manifest(trained)["recipe"])
        refused = [manifest(marked / slide) for slide in sorted(placed)]
        warned = [found["sentence"] for found in refused if found["verdict"] == "E_POINTS"]
        return facts | {"trained_on": bag.tiles.slides, "warning": " ".join(warned)}

    commit(decoder, shard, make, upstream=[splits, *sources], only=set(placed))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run(train_points, globals().get("snakemake"))
