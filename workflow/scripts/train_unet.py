"""Train a U-Net from pixel masks: the comparison that methods without masks are held against."""

from pathlib import Path
from typing import Literal

import torch

from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import usable
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.decoder_training import Taught, train_decoder
from workflow.lib.refine.known_truth import check_truth, known_truth
from workflow.lib.refine.mask_lessons import MaskLesson
from workflow.lib.refine.truth_bags import open_truth_bag
from workflow.lib.refine.unets import Encoder, UNet

LOWEST_LOSS = "lowest validation loss, of pixels by their masks"


def train_unet(
    tiles: list[Path],
    splits: Path,
    classifier: Path,
    decoder: Path,
    *,
    shard: Shard,
    fold: int,
    negative: str | None,
    encoder: Encoder,
    context_px: int,
    border_weight: float,
    border_sigma_px: float,
    choose_by: Literal["last_epoch", "validation_loss"],
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
    """Write the U-Net of `fold`: weights, what they are, and the curves of their training.

    It learns from the pixel masks of the training slides, which is what every other method does
    without: its facts list them, and those of the validation slides where these chose the epoch.
    """
    trained, folder = classifier.with_suffix(""), tiles[0].parent
    placed = in_fold(read_table(splits), fold, "train", "val")
    border = {"border_weight": border_weight, "border_sigma_px": border_sigma_px}

    def teach(where: torch.device, used: str) -> Taught:
        model = UNet(Classifier.load(trained), encoder=encoder, context_px=context_px)
        bags, read, warnings = [], [], []
        for split in ("train", "val"):
            names = usable(folder, [s for s, row in placed.items() if row["split"] == split])
            members = [slide for slide in shard.slides if slide.slide in names]
            masks, unknown = known_truth(members, negative)
            bag, faulty = open_truth_bag(folder, masks, work / split, **border)
            bags.append(bag)
            read.append(sorted(masks))
            warnings += [*unknown, *faulty]
        check_truth("unet", fold, bags[0].masks, bags[0].counts)
        lesson = MaskLesson(
            model,
            *bags,
            batch_size=batch_size,
            augmentation=augment,
            precision=used,
            device=where,
        )
        facts = {"masks": sorted(bags[0].masks), "trained_on": read[0]}
        facts |= {"warning": " ".join(warnings)}
        return Taught(
            lesson,
            lesson.groups(learning_rate, weight_decay),
            facts,
            patience=epochs if choose_by == "validation_loss" else None,  # all, the best is kept
            choose={
                "masks": sorted(bags[0].masks + bags[1].masks),
                "chosen_on": read[1],
                "chosen_by": LOWEST_LOSS,
            },
        )

    train_decoder(
        teach,
        decoder,
        shard,
        method="unet",
        fold=fold,
        classifier=trained,
        splits=splits,
        placed=placed,
        sources=[folder, trained],
        epochs=epochs,
        precision=precision,
        seed=seed,
        device=device,
        threads=threads,
        work=work,
    )


if __name__ == "__main__":
    run(train_unet, globals().get("snakemake"))
