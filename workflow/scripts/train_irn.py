"""Train IRNet: where boundaries lie in the tiles of one fold, so that evidence can spread."""

import logging
from pathlib import Path

import torch

from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import read_table
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.affinity_labels import count_mixed, label_bag
from workflow.lib.refine.affinity_lessons import AffinityLesson
from workflow.lib.refine.decoder_training import Taught, train_decoder
from workflow.lib.refine.irn import IRNet
from workflow.lib.refine.random_fields import RandomField
from workflow.lib.refine.seed_bags import open_seed_bags

log = logging.getLogger(__name__)

ONE_SIDED = (
    "No training tile of fold {fold} has both foreground and background labels, so IRNet cannot "
    "learn a boundary: bring train_irn.foreground and background closer, or switch random_field off"
)


def train_irn(
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
    random_field: bool,
    crf: dict | None = None,
    radius: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    displacement_learning_rate_factor: float,
    precision: str,
    weight_decay: float,
    augment: dict,
    seed: int,
    device: str,
    threads: int,
    work: Path,
) -> None:
    """Write the IRNet of `fold`: weights, what they are, and the curves of their training.

    It learns from the cams of the training slides, cut at two thresholds (drawn to the edges of
    the picture by the random field `crf` where `random_field` is on), and from the labels of the
    slides. No pixel mask takes part, not in choosing the epoch either.
    """
    trained, evidence = classifier.with_suffix(""), cams[0].parent
    placed = in_fold(read_table(splits), fold, "train", "val")
    reading = {"fold": fold, "negative": negative, "cam_scale": cam_scale}
    cuts = {"foreground": foreground, "background": background}

    def teach(where: torch.device, used: str) -> Taught:
        model = IRNet(Classifier.load(trained))
        field = RandomField(**crf, mpp=model.classifier.mpp) if random_field else None
        sides = []
        for bag in open_seed_bags(tiles[0].parent, evidence, placed, **reading):
            labels = label_bag(bag, **cuts, field=field, batch=batch_size, device=where)
            sides.append((bag.tiles, labels))
            mixed = count_mixed(labels)
            log.info("%d of %d tiles hold foreground and background.", mixed, len(labels))
        warning = None if count_mixed(sides[0][1]) else ONE_SIDED.format(fold=fold)
        if warning:
            log.warning(warning)
        lesson = AffinityLesson(
            model,
            *sides,
            radius=radius,
            batch_size=batch_size,
            augmentation=augment,
            precision=used,
            device=where,
        )
        facts = {"masks": [], "trained_on": sides[0][0].slides, "warning": warning}
        groups = lesson.groups(learning_rate, displacement_learning_rate_factor, weight_decay)
        return Taught(lesson, groups, facts, finish=lesson.centre)

    # The evidence stands for what it was made from: tiles and classifier.
    train_decoder(
        teach,
        decoder,
        shard,
        method="irn",
        fold=fold,
        classifier=trained,
        splits=splits,
        placed=placed,
        sources=[evidence],
        epochs=epochs,
        precision=precision,
        seed=seed,
        device=device,
        threads=threads,
        work=work,
    )


if __name__ == "__main__":
    run(train_irn, globals().get("snakemake"))
