"""Train on points: the decoder of one fold, from pixels that somebody marked on a few slides."""

import logging
from pathlib import Path

import numpy as np
import torch

from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.decoder_training import Taught, train_decoder
from workflow.lib.refine.decoders import Decoder
from workflow.lib.refine.point_lessons import PointLesson, make_point_sampler, open_point_bag
from workflow.lib.refine.seed_bags import cam_bag
from workflow.lib.refine.seed_lessons import make_sampler
from workflow.lib.tiles.bags import open_bag

log = logging.getLogger(__name__)


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
    cam_scale: str | None = None,
) -> None:
    """Write the decoder of `fold`: weights, what they are, and the curves of their training.

    It learns from the points and the labels of the training slides, and with `use_cam` from their
    cams. Points are pixel labels, so every slide that some of them are used of counts as one pixel
    mask; points of validation and test slides are not looked at.
    """
    trained, marked = classifier.with_suffix(""), points[0].parent
    evidence = cams[0].parent if use_cam else None
    placed = in_fold(read_table(splits), fold, "train")
    sources = [tiles[0].parent, marked, trained] + ([evidence] if use_cam else [])
    drawing = {
        "foreground_pixels": foreground_pixels,
        "background_pixels": background_pixels,
        "dilate_px": dilate_px,
    }

    def teach(where: torch.device, used: str) -> Taught:
        bag = open_point_bag(
            tiles[0].parent,
            marked,
            placed,
            negative=negative,
            radius_um=radius_um,
            cams=evidence,
            cam_scale=cam_scale,
        )
        learnt_from = {slide: counts for slide, counts in bag.counts.items() if any(counts)}
        background, foreground = np.sum([*learnt_from.values(), (0, 0)], axis=0).tolist()
        if not foreground or not (background or bag.negative.any() or use_cam):
            missing = "background, and no negative slide," if foreground else "foreground"
            raise ValueError(
                f"Fold {fold} has no point of the {missing} in a tile of a training slide; fill "
                "the column points of the sheet for more patients, or take points out of "
                "refine_masks.methods"
            )
        log.info("%d points of %d slides.", background + foreground, len(learnt_from))
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
        refused = [manifest(marked / slide) for slide in sorted(placed)]
        warned = [found["sentence"] for found in refused if found["verdict"] == "E_POINTS"]
        facts = {"masks": sorted(learnt_from), "trained_on": bag.tiles.slides}
        facts |= {"points": background + foreground, "warning": " ".join(warned)}
        return Taught(lesson, lesson.groups(learning_rate, weight_decay), facts)

    train_decoder(
        teach,
        decoder,
        shard,
        method="points",
        fold=fold,
        classifier=trained,
        splits=splits,
        placed=placed,
        sources=sources,
        epochs=epochs,
        precision=precision,
        seed=seed,
        device=device,
        threads=threads,
        work=work,
    )


if __name__ == "__main__":
    run(train_points, globals().get("snakemake"))
