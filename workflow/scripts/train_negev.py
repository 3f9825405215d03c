"""Train NEGEV: the decoder of one fold, from evidence on a few pixels to all of them."""

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
from workflow.lib.refine.decoders import Decoder
from workflow.lib.refine.regularised_lessons import RegularisedLesson
from workflow.lib.refine.regularisers import Regularisers
from workflow.lib.refine.seed_bags import open_seed_bags
from workflow.lib.refine.seed_lessons import SeedLesson, make_sampler


def train_negev(
    tiles: list[Path],
    cams: list[Path],
    pseudo_masks: list[Path],
    splits: Path,
    classifier: Path,
    decoder: Path,
    *,
    shard: Shard,
    fold: int,
    negative: str | None,
    cam_scale: str,
    seeds: Literal["cam", "pseudo_mask"],
    background: Literal["official", "intended"],
    foreground_pixels: int,
    background_pixels: int,
    dilate_px: int,
    seed_weight: float,
    crf_weight: float,
    crf_px: float | None = None,
    crf_colour: float | None = None,
    size_weight: float,
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
    """Write the decoder of `fold`: weights, what they are, and the curves of their training.

    It learns from the cams of the training slides (`seeds: cam`) or from their pseudo-masks, and
    from the labels of their slides. No pixel mask takes part, unless `choose_by` is masks: then
    those of `masks` validation slides choose the epoch, and the facts list them.
    """
    trained = classifier.with_suffix("")
    evidence = (cams if seeds == "cam" else pseudo_masks)[0].parent
    placed = in_fold(read_table(splits), fold, "train", "val")
    reading = {"fold": fold, "negative": negative}
    reading["cam_scale"] = cam_scale if seeds == "cam" else None
    seeding = {
        "seeds": seeds,
        "background": background,
        "foreground_pixels": foreground_pixels,
        "background_pixels": background_pixels,
        "dilate_px": dilate_px,
    }
    terms = {"crf_weight": crf_weight, "crf_px": crf_px, "crf_colour": crf_colour}
    terms["size_weight"] = size_weight

    def teach(where: torch.device, used: str) -> Taught:
        model = Decoder(Classifier.load(trained))
        bags = open_seed_bags(tiles[0].parent, evidence, placed, **reading)
        kind, more = SeedLesson, {}
        if crf_weight or size_weight:
            kind, more = RegularisedLesson, {"regularisers": Regularisers(**terms)}
        lesson = kind(
            model,
            *bags,
            make_sampler(**seeding),
            seed_weight=seed_weight,
            batch_size=batch_size,
            augmentation=augment,
            precision=used,
            seed=seed,
            device=where,
            **more,
        )
        facts = {"masks": [], "trained_on": bags[0].tiles.slides}
        taught = Taught(lesson, lesson.groups(learning_rate, weight_decay), facts)
        if choose_by == "labels":
            return taught
        choosing = {"negative": negative, "masks": masks, "epochs": epochs, "batch": batch_size}
        choosing |= {"seed": seed, "fold": fold, "device": where}
        folders = (tiles[0].parent, work / "chosen")
        return choose_by_masks(taught, shard.slides, placed, *folders, **choosing)

    # The evidence stands for what it was made from: tiles, classifier, and the cams behind masks.
    train_decoder(
        teach,
        decoder,
        shard,
        method="negev",
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
    run(train_negev, globals().get("snakemake"))
