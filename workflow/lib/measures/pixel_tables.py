"""The rows that pixel metrics become: per fold and for all folds, per slide, and as a curve."""

import logging
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass

import numpy as np

from workflow.lib.jobs.tables import metric_row
from workflow.lib.measures.pixel_metrics import (
    BINS,
    THRESHOLDS,
    best_threshold,
    confusion,
    measure_overlaps,
    measure_ranking,
    otsu_threshold,
    overlaps,
    precision_recall,
    pxap,
)

log = logging.getLogger(__name__)

SLIDES = ("slide", "fold", "method", "threshold", "dice_fg", "iou_fg", "pxap", "foreground")
SLIDES += ("truth_uncovered", "n_pixels", "note")
CURVES = ("fold", "method", "threshold", "precision", "recall")
CHOICES = ("fold", "method", "rule", "threshold", "chosen_on")
CURVE_STEP = 5  # a point every 0.005 is more than a figure can show


@dataclass(frozen=True)
class Counted:
    """A tested slide against its truth (`pixel_metrics.count_bands`), or a note why not.

    masks: slides whose pixel masks its models learnt from; none, but for supervised methods.
    """

    slide: str
    patient: str
    fold: str
    counts: np.ndarray  # (2, 1001) int64
    uncovered: int
    note: str | None = None
    masks: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Validated:
    """Scores of a validation slide by truth (2, 1001); all of them as background if not `known`."""

    slide: str
    counts: np.ndarray
    known: bool
    masked: bool  # known from a pixel mask


@dataclass(frozen=True)
class Threshold:
    """Where a fold parts foreground from background.

    chosen_on: slides that had a say in it; masks: those of them whose pixel masks had
    """

    rule: str
    fold: str
    value: float
    masks: frozenset[str] = frozenset()
    chosen_on: frozenset[str] = frozenset()


def choose_thresholds(
    fold: str, slides: Sequence[Validated], findings: Set[str]
) -> Iterator[Threshold]:
    """The thresholds of a fold from its validation slides, as far as they give any.

    `otsu_val` is of the scores of all of them, unless none is in `findings`, the slides not of the
    negative class: Otsu would part noise from noise. `best_val` is of those with known truth.
    """
    scores, marked = np.zeros(BINS, np.int64), np.zeros((2, BINS), np.int64)
    if any(slide.slide in findings for slide in slides):
        scores = sum(slide.counts.sum(0) for slide in slides)
    marked = sum((slide.counts for slide in slides if slide.known), marked)
    everyone = frozenset(slide.slide for slide in slides)
    known = frozenset(slide.slide for slide in slides if slide.known)
    voices = frozenset(slide.slide for slide in slides if slide.masked)
    for rule, value, masks, chosen_on in (
        ("otsu_val", otsu_threshold(scores), frozenset(), everyone),
        ("best_val", best_threshold(marked), voices, known),
    ):
        if value is None:
            log.warning("Fold %s: the validation slides give no threshold %s.", fold, rule)
        else:
            yield Threshold(rule, fold, value, masks, chosen_on)


def metric_rows(
    slides: Sequence[Counted],
    thresholds: Sequence[Threshold],
    *,
    method: str,
    replicates: int,
    seed: int,
) -> list[dict]:
    """Rows of a metrics table: each fold, then `all`, every slide at its own fold's threshold.

    pxap, pxap_chance, truth_uncovered; per rule threshold@rule, dice_fg@rule ... miou@rule. A slide
    without a pixel under a tile is in no n but that of truth_uncovered: nothing was compared.
    pixel_masks_used counts the masks that models learnt from or a threshold was chosen with.
    """
    draws = {"replicates": replicates, "seed": seed}
    rows = []
    for fold, members in _pools(slides):
        about = {"fold": fold, "level": "pixel", "method": method}
        learnt = frozenset().union(*(slide.masks for slide in members))
        ranked = measure_ranking(
            np.stack([slide.counts for slide in members]),
            np.array([slide.uncovered for slide in members]),
            np.array([slide.patient for slide in members]),
            **draws,
        )
        for name, measured in ranked.items():
            n = len(members) if name == "truth_uncovered" else _compared(members)
            rows.append(metric_row(name, *measured, n=n, pixel_masks_used=len(learnt), **about))
        for rule in sorted({threshold.rule for threshold in thresholds}):
            chosen = {t.fold: t for t in thresholds if t.rule == rule}
            parted = [slide for slide in members if slide.fold in chosen]
            if not parted:
                continue
            voices = learnt.union(*(chosen[slide.fold].masks for slide in parted))
            about |= {"n": _compared(parted), "pixel_masks_used": len(voices)}
            if fold in chosen:
                rows.append(metric_row(f"threshold@{rule}", chosen[fold].value, **about))
            cells = np.stack([confusion(s.counts, chosen[s.fold].value) for s in parted])
            patients = np.array([slide.patient for slide in parted])
            for name, measured in measure_overlaps(cells, patients, **draws).items():
                rows.append(metric_row(f"{name}@{rule}", *measured, **about))
    return rows


def slide_rows(
    slides: Sequence[Counted], thresholds: Sequence[Threshold], *, rule: str, method: str
) -> Iterator[dict]:
    """One row per tested slide (`SLIDES`), at the threshold of `rule` in its fold."""
    chosen = {t.fold: t.value for t in thresholds if t.rule == rule}
    for slide in slides:
        foreground, total = int(slide.counts[1].sum()), int(slide.counts.sum())
        marked = foreground + slide.uncovered
        threshold = chosen.get(slide.fold)
        found = {} if threshold is None else overlaps(confusion(slide.counts, threshold))
        yield {
            "slide": slide.slide,
            "fold": slide.fold,
            "method": method,
            "threshold": threshold,
            "dice_fg": found.get("dice_fg"),
            "iou_fg": found.get("iou_fg"),
            "pxap": float(pxap(slide.counts)),
            "foreground": foreground / total if total else None,
            "truth_uncovered": slide.uncovered / marked if marked else None,
            "n_pixels": total,
            "note": slide.note,
        }


def curve_rows(slides: Sequence[Counted], *, method: str) -> Iterator[dict]:
    """Points of the precision-recall curves (`CURVES`), per fold and for all."""
    for fold, members in _pools(slides):
        precision, recall = precision_recall(sum(slide.counts for slide in members))
        for index in range(0, BINS, CURVE_STEP):
            point = (fold, method, THRESHOLDS[index], precision[index], recall[index])
            yield dict(zip(CURVES, point, strict=True))


def choice_rows(thresholds: Sequence[Threshold], *, method: str) -> Iterator[dict]:
    """One row per threshold (`CHOICES`), with the slides that it was chosen on, for the audit."""
    for chosen in thresholds:
        slides = " ".join(sorted(chosen.chosen_on))
        about = (chosen.fold, method, chosen.rule, chosen.value, slides)
        yield dict(zip(CHOICES, about, strict=True))


def _compared(slides: Sequence[Counted]) -> int:
    return sum(bool(slide.counts.any()) for slide in slides)


def _pools(slides: Sequence[Counted]) -> Iterator[tuple[str, list[Counted]]]:
    counted = [slide for slide in slides if slide.note is None]
    for fold in sorted({slide.fold for slide in counted}, key=int):
        yield fold, [slide for slide in counted if slide.fold == fold]
    if counted:
        yield "all", counted
