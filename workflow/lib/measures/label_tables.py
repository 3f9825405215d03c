"""The rows that scores of slides and tiles become: per fold and for all folds, and as curves."""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

import numpy as np

from workflow.lib.jobs.tables import metric_row
from workflow.lib.measures.bootstrap import Measured, measure
from workflow.lib.measures.label_metrics import agreement, confusion, curves, macro_ranking
from workflow.lib.tiles.masked_slides import count_masks

CURVES = ("level", "fold", "class", "threshold", "false_positive_rate", "recall", "precision")
CURVE_POINTS = 200  # more than a figure can show


@dataclass(frozen=True)
class Scored:
    """What was scored on one tested slide: the slide itself (M = 1) or its M tiles.

    `truth` is the class of the slide, or of each item (M,); `predicted` (M,) int, `scores` (M, C)
    float.
    """

    slide: str
    patient: str
    fold: str
    truth: int | np.ndarray
    predicted: np.ndarray
    scores: np.ndarray


def positive_class(classes: Sequence[str], negative: str | None) -> str | None:
    """Of two classes the one that curves are of: not `negative`, else the second; None for more.

    >>> positive_class(["tumour", "normal"], "normal"), positive_class(["benign", "cancer"], None)
    ('tumour', 'cancer')
    """
    if len(classes) != 2:
        return None
    return next(name for name in reversed(classes) if name != negative)


def metric_rows(
    slides: Sequence[Scored],
    *,
    level: str,
    method: str,
    classes: Sequence[str],
    negative: str | None,
    replicates: int,
    seed: int,
    taught: Mapping[str, Set[str]] | None = None,
) -> Iterator[dict]:
    """Rows of a metrics table: each fold, then `all`; slides without an item do not count.

    taught: fold -> slides whose pixel masks its model learnt from (masked_slides.teachers)

    auroc, average_precision, accuracy and balanced_accuracy with intervals over patients, and the
    cells of the confusion table, which are counts. Of two classes, auroc and average_precision are
    of `positive_class`; of more, the mean over all.
    """
    positive = positive_class(classes, negative)
    column = None if positive is None else classes.index(positive)
    for fold, members in _pools(slides):
        about = {"fold": fold, "level": level, "method": method, "n": len(members)}
        about["pixel_masks_used"] = count_masks({s.fold for s in members}, taught or {})
        measured, table = _measure(members, len(classes), column, replicates, seed)
        for name, value in measured.items():
            yield metric_row(name, *value, **about)
        for (true, predicted), count in np.ndenumerate(table):
            name = f"confusion[true={classes[true]},predicted={classes[predicted]}]"
            yield metric_row(name, float(count), **about)


def curve_rows(
    slides: Sequence[Scored], *, level: str, classes: Sequence[str], negative: str | None
) -> Iterator[dict]:
    """Points of the ROC and precision-recall curves (`CURVES`), per fold and for all.

    Two classes: the curve of `positive_class`; more: one of each class against the rest.
    """
    positive = positive_class(classes, negative)
    for fold, members in _pools(slides):
        truth = _truth(members)
        scores = np.concatenate([slide.scores for slide in members])
        for index, name in enumerate(classes):
            if positive not in (None, name):
                continue
            points = curves(scores[:, index], truth == index)
            last = len(points["threshold"]) - 1
            for point in np.unique(np.linspace(0, last, CURVE_POINTS).round().astype(int)):
                about = {"level": level, "fold": fold, "class": name}
                yield about | {axis: float(values[point]) for axis, values in points.items()}


def _measure(
    members: Sequence[Scored], classes: int, positive: int | None, replicates: int, seed: int
) -> tuple[dict[str, Measured], np.ndarray]:
    """Metrics with their intervals over patients, and the confusion table of all items."""
    items = [len(slide.scores) for slide in members]
    names, rows = np.unique([slide.patient for slide in members], return_inverse=True)
    patients = np.repeat(rows, items)
    truth = _truth(members)
    scores = np.concatenate([slide.scores for slide in members])
    predicted = np.concatenate([slide.predicted for slide in members])
    tables = confusion(truth, predicted, patients, classes=classes)

    def metrics(weights: np.ndarray) -> dict[str, np.ndarray]:
        auroc, precision = macro_ranking(scores, truth, weights, patients, positive=positive)
        ranked = {"auroc": auroc, "average_precision": precision}
        return ranked | agreement(np.tensordot(weights, tables, axes=1))

    found = measure(metrics, patients=len(names), replicates=replicates, seed=seed)
    return found, tables.sum(0)


def _truth(members: Sequence[Scored]) -> np.ndarray:
    """The class of every item (sum of M,), one slide after the other."""
    return np.concatenate([np.broadcast_to(s.truth, len(s.scores)) for s in members])


def _pools(slides: Sequence[Scored]) -> Iterator[tuple[str, list[Scored]]]:
    scored = [slide for slide in slides if len(slide.scores)]
    for fold in sorted({slide.fold for slide in scored}, key=int):
        yield fold, [slide for slide in scored if slide.fold == fold]
    if scored:
        yield "all", scored
