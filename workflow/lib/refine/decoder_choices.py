"""The epoch of a decoder, chosen by the pixel masks of some validation slides."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from workflow.lib.cohort.sheet import Slide
from workflow.lib.refine.decoder_training import Taught
from workflow.lib.refine.epoch_choices import open_choice
from workflow.lib.tiles.inference import infer


def choose_by_masks(
    taught: Taught,
    slides: Iterable[Slide],
    placed: Mapping[str, Mapping],
    tiles: Path,
    folder: Path,
    *,
    negative: str | None,
    masks: int,
    epochs: int,
    batch: int,
    seed: int,
    fold: int,
    device: torch.device,
) -> Taught:
    """`taught`, with the epoch whose probabilities have the highest PxAP on `masks` slides.

    slides: of the sheet; placed: rows of splits.tsv by slide; tiles, folder: as in open_choice,
    which raises ValueError where nothing can choose. What finishes a training comes before every
    look: maps are judged as they would be made.
    """
    drawing = {"negative": negative, "count": masks, "seed": seed, "fold": fold}
    choice, model = open_choice(tiles, slides, placed, folder, **drawing), taught.lesson.model

    def judge() -> float:
        taught.finish()
        how = {"batch": batch, "device": device}
        return choice.pxap(lambda _, read, count: infer(model.probability, read, count, **how))

    facts = taught.facts | {"warning": " ".join(choice.warnings)}
    return taught._replace(facts=facts, patience=epochs, judge=judge, choose=choice.facts())
