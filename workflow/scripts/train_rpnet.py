"""Train RPNet: the decoder of one fold, which compares tiles with what other slides look like."""

from pathlib import Path
from typing import Literal

import torch

from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import read_table
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.decoder_choices import choose_by_masks
from workflow.lib.refine.decoder_training import Taught, train_decoder
from workflow.lib.refine.region_decoders import RegionDecoder
from workflow.lib.refine.region_lessons import RegionLesson
from workflow.lib.refine.seed_bags import open_seed_bags
from workflow.lib.refine.seed_lessons import make_sampler


def train_rpnet(
    tiles: list[Path],
    cams: list[Path],
    splits: Path,
    classifier: Path,
    decoder: Path,
    *,
    shard: Shard,
    fold: int,
    negative: str | None,
    cam_scale: str,
    foreground: float,
    background: float,
    resolutions: int,
    dim: int,
    prototypes: int,
    temperature: float,
    consistency_weight: float,
    foreground_pixels: int,
    background_pixels: int,
    dilate_px: int,
    seed_weight: float,
    choose_by: Literal["labels", "masks"],
    masks: int | None = None,
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
    """Write the decoder of `fold`: weights, prototypes, what they are, and the curves.

    It learns from the cams and the labels of the training slides, and the prototypes that it keeps
    for other slides are theirs alone. No pixel mask takes part, unless `choose_by` is masks: then
    those of `masks` validation slides choose the epoch, and the facts list them.
    """
    trained, evidence = classifier.with_suffix(""), cams[0].parent
    placed = in_fold(read_table(splits), fold, "train", "val")
    reading = {"fold": fold, "negative": negative, "cam_scale": cam_scale}
    seeding = {
        "foreground_pixels": foreground_pixels,
        "background_pixels": background_pixels,
        "dilate_px": dilate_px,
    }

    def teach(where: torch.device, used: str) -> Taught:
        model = RegionDecoder(
            Classifier.load(trained),
            resolutions=resolutions,
            dim=dim,
            prototypes=prototypes,
            temperature=temperature,
        )
        bags = open_seed_bags(tiles[0].parent, evidence, placed, **reading)
        lesson = RegionLesson(
            model,
            *bags,
            make_sampler(seeds="cam", background="intended", **seeding),
            labels={slide: row["label"] for slide, row in placed.items()},
            foreground=foreground,
            background=background,
            consistency_weight=consistency_weight,
            seed_weight=seed_weight,
            batch_size=batch_size,
            augmentation=augment,
            precision=used,
            seed=seed,
            device=where,
        )
        facts = {"masks": [], "trained_on": bags[0].tiles.slides}
        groups = lesson.groups(learning_rate, weight_decay)
        taught = Taught(lesson, groups, facts, finish=lesson.fill_bank)
        if choose_by == "labels":
            return taught
        choosing = {"negative": negative, "masks": masks, "epochs": epochs, "batch": batch_size}
        choosing |= {"seed": seed, "fold": fold, "device": where}
        folders = (tiles[0].parent, work / "chosen")
        return choose_by_masks(taught, shard.slides, placed, *folders, **choosing)

    # The evidence stands for what it was made from: tiles and classifier.
    train_decoder(
        teach,
        decoder,
        shard,
        method="rpnet",
        fold=fold,
        classifier=trained,
        splits=splits,
        placed=placed,
        read=in_fold(placed.values(), fold, "val"),  # of other slides no mask is looked at
        sources=[evidence],
        epochs=epochs,
        precision=precision,
        seed=seed,
        device=device,
        threads=threads,
        work=work,
    )


if __name__ == "__main__":
    run(train_rpnet, globals().get("snakemake"))
