"""Watching a network that learns without labels: what a linear classifier reads from it."""

from dataclasses import dataclass

import numpy as np

from workflow.lib.clusters.linear_probes import draw_tiles, fit_probe
from workflow.lib.measures.label_metrics import macro_ranking
from workflow.lib.tiles.bags import TileBag

PENALTY = 1.0  # L2 of the logistic regression
TILES = 5000  # of each side that a probe looks at: more cost time after every round


@dataclass(frozen=True)
class Watched:
    """Labelled tiles that a probe is fitted to and scored on, in ascending order of `rows`.

    rows: (M,) int64, their indices in a bag; labels, slides: (M,) int64
    validation: (M,) bool, whether a tile is scored; it is fitted to otherwise
    """

    rows: np.ndarray
    labels: np.ndarray
    slides: np.ndarray
    validation: np.ndarray

    def probe(self, features: np.ndarray) -> float:
        """AUROC of a probe of `features` (M, D) of the tiles `rows`."""
        sides = (~self.validation, self.validation)
        fitted, scored = ((features[side], self.labels[side], self.slides[side]) for side in sides)
        return probe(fitted, scored)

    def sentence(self) -> str:
        """How a choice by this probe is made, and what it used."""
        slides = len(np.unique(self.slides[self.validation]))
        return (
            "best linear probe, the AUROC on validation tiles, every slide counted alike; it used "
            f"the image labels of {slides} validation slides"
        )


def watch(
    bag: TileBag, training: np.ndarray, validation: np.ndarray, *, classes: int, seed: int
) -> Watched | None:
    """The tiles `training` and `validation` (indices in `bag`) to watch, 5000 of each at most.

    Above that they are drawn, slides in equal turns. None where one side does not hold all of two
    classes or more.
    """
    labels, slides = bag.label.numpy(), bag.slide.numpy()
    drawn = [side[draw_tiles(slides[side], TILES, seed=seed)] for side in (training, validation)]
    if not all(has_classes(labels[side], classes) for side in drawn):
        return None
    rows = np.concatenate(drawn)
    scored = np.arange(len(rows)) >= len(drawn[0])
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    return Watched(rows, labels[rows], slides[rows], scored[order])


def probe(
    fitted: tuple[np.ndarray, np.ndarray, np.ndarray],
    scored: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> float:
    """AUROC on `scored` of a logistic regression on the standardised features of `fitted`.

    Each is features (N, D) float, labels (N,) int from 0 and slides (N,) int. Every slide weighs
    the same in the AUROC, however many tiles it has, and as much as the others of its class in
    the fit. Two classes: of the second. More: the mean over classes, each against the rest. Both
    sides must hold all classes (`has_classes`).
    """
    features, labels, slides = fitted
    unseen, truth, others = scored
    model = fit_probe(features, labels, slides, penalty=PENALTY)
    scores = model.predict_proba(unseen)
    return float(macro_ranking(scores, truth, slide_weights(others)[None])[0][0])


def has_classes(labels: np.ndarray, classes: int) -> bool:
    """Whether `labels` (N,) has all of two classes or more, so that a probe means something."""
    return classes > 1 and len(np.unique(labels)) == classes


def slide_weights(slides: np.ndarray) -> np.ndarray:
    """Weights (N,) float64 adding up to 1 that give every one of `slides` (N,) int the same."""
    sizes = np.bincount(slides)
    return 1.0 / (sizes[slides] * (sizes > 0).sum())
