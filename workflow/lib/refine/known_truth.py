"""Slides whose pixels are known, for methods that learn from them and are marked for it."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide

log = logging.getLogger(__name__)


def known_masks(slides: Iterable[Slide], negative: str | None) -> dict[str, Path | None]:
    """Slide -> its mask, or None where it is of the class `negative`: all of it background.

    A slide of a finding without a mask is not among them.
    """
    return {
        slide.slide: slide.mask
        for slide in slides
        if slide.mask or (negative is not None and slide.label == negative)
    }


def known_truth(
    slides: Iterable[Slide], negative: str | None
) -> tuple[dict[str, Path | None], list[str]]:
    """`known_masks`, and a sentence on each slide that is left out: nobody said where it is."""
    slides = list(slides)
    known, sentences = known_masks(slides, negative), []
    for slide in slides:
        if slide.slide not in known:
            sentences.append(
                f"{slide.slide} is left out where pixels are learnt: it is labelled {slide.label} "
                "and has no mask."
            )
            log.warning(sentences[-1])
    return known, sentences


def check_truth(method: str, fold: int, masks: Sequence[str], counts: np.ndarray) -> None:
    """Raise ValueError, with the remedy, where training slides of `fold` teach `method` nothing.

    masks: slides whose masks were read; counts: (2,) pixels of background and of foreground.
    """
    remedy = f"or leave {method} out of refine_masks.methods"
    if not len(masks):
        raise ValueError(
            f"Fold {fold} has no training slide with a pixel mask that can be used, and {method} "
            f"learns from nothing else; give masks in the column mask of the sheet, {remedy}"
        )
    if not all(counts):
        kind = "foreground" if counts[1] else "background"
        raise ValueError(
            f"Fold {fold}: all pixels of its training tiles are {kind}, and {method} has "
            f"nothing to tell apart; look at the masks of {', '.join(masks)}, {remedy}"
        )
