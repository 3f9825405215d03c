"""Whether evidence is worth refining, told without a pixel of truth.

Every measure compares what a fold already has: its cams, tissue masks, clusters, the labels of its
training and validation slides, and the curves of its classifier.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from workflow.lib.evidence import agreement
from workflow.lib.evidence.evidence_tallies import EvidenceTally
from workflow.lib.evidence.pseudo_masks import USUAL_FOREGROUND

# Standard deviation of evidence (0..1) within a slide below which it points nowhere. Two shares of
# one half with evidence 0.45 and 0.55 have 0.05.
FLAT = 0.05
COLUMNS = ("fold", "slides", "unusual", "foreground", "background", "ignored", "entropy", "spread")
COLUMNS += ("outside_tissue", "outside_by_chance", "cluster_share", "contrast_train")
COLUMNS += ("contrast_val", "classifier_auroc", "warning")
# Column -> how the report calls it, and how it writes it.
TITLES = {
    "slides": ("slides", "{:.0f}"),
    "foreground": ("foreground", "{:.1%}"),
    "background": ("background", "{:.1%}"),
    "ignored": ("ignored", "{:.1%}"),
    "entropy": ("entropy, bits", "{:.2f}"),
    "spread": ("spread", "{:.2f}"),
    "outside_tissue": ("foreground outside tissue", "{:.1%}"),
    "outside_by_chance": ("by chance", "{:.1%}"),
    "cluster_share": ("explained by clusters", "{:.0%}"),
    "contrast_train": ("contrast, training", "{:.2f}"),
    "contrast_val": ("contrast, validation", "{:.2f}"),
    "classifier_auroc": ("AUROC, validation", "{:.2f}"),
}
AGREEMENT = "other methods: ranks, top fifth"  # and how it calls what agreement.py measures


def cell_tissue(
    mask: np.ndarray,
    positions_px: np.ndarray,
    cells: tuple[int, int],
    *,
    tile_px: int,
    size_px: tuple[int, int],
) -> np.ndarray:
    """Whether the middle of every cell of every tile is tissue, (N, h, w) bool.

    mask: (H, W) bool of a whole slide of `size_px` (height, width); positions_px: (N, 2), top-left
    corners (y, x) of tiles of `tile_px`, each with `cells` (h, w).
    """
    found = []
    for axis, count in enumerate(cells):
        middle = (np.arange(count) + 0.5) * tile_px / count
        at = positions_px[:, axis, None] + middle  # (N, count)
        index = np.floor(at * mask.shape[axis] / size_px[axis]).astype(int)
        found.append(np.clip(index, 0, mask.shape[axis] - 1))
    rows, columns = found
    return mask[rows[:, :, None], columns[:, None, :]]


def explained_share(values: np.ndarray, groups: np.ndarray) -> float:
    """Share of the variance of `values` (N,) that `groups` (N,) int explain, at most 1.

    Epsilon squared (Kelley, PNAS 1935): the correlation ratio corrected for the number of groups,
    so that groups by chance have 0 on average; it may be a little below. NaN where values do not
    vary or no group has two.
    """
    _, group, count = np.unique(groups, return_inverse=True, return_counts=True)
    values, free = np.asarray(values, np.float64), len(values) - len(count)
    if free < 1:
        return float("nan")
    means = np.bincount(group, values) / count
    within = float(((values - means[group]) ** 2).sum()) / free
    total = float(values.var(ddof=1))
    return 1 - within / total if total > 1e-12 else float("nan")


def class_contrast(shares: np.ndarray, labels: np.ndarray, findings: Sequence[int]) -> float:
    """How much more evidence of a class there is on slides of the class than on others, -1..1.

    shares: (S, C), mean softmax share of each class over a slide's cams; labels: (S,) int. The mean
    over `findings` that have slides on both sides; NaN where none has.
    """
    labels = np.asarray(labels)
    found = [
        float(shares[labels == c, c].mean() - shares[labels != c, c].mean())
        for c in findings
        if 0 < np.count_nonzero(labels == c) < len(labels)
    ]
    return float(np.mean(found)) if found else float("nan")


class Tally:
    """What is gathered of the training and validation slides of a fold, slide by slide.

    classes, negative: names of the classes, and of the one without a positive pixel
    """

    def __init__(self, classes: Sequence[str], negative: str | None) -> None:
        self.classes = list(classes)
        self.findings = [k for k, name in enumerate(classes) if name != negative]
        self.shares: dict[str, list[np.ndarray]] = {"train": [], "val": []}
        self.labels: dict[str, list[int]] = {"train": [], "val": []}
        self.spreads: list[float] = []
        self.masks: list[Mapping[str, float]] = []
        self.cells = np.zeros((2, 2), np.int64)  # foreground, all x inside, outside the tissue
        self.means: list[np.ndarray] = []
        self.clusters: list[np.ndarray] = []

    def add_shares(self, split: str, label: str, shares: np.ndarray) -> None:
        """A slide of `split` (train or val): mean softmax share (C,) of each class in its cams."""
        self.shares[split].append(shares)
        self.labels[split].append(self.classes.index(label))

    def add_evidence(self, slide: EvidenceTally, masks: Mapping[str, float]) -> None:
        """A training slide with a finding; `masks` is what make_pseudo_masks noted of it."""
        means, clusters = slide.by_tile()
        self.spreads.append(slide.spread())
        self.masks.append(masks)
        self.cells += slide.cells
        self.means.append(means)
        self.clusters.append(clusters)

    def row(self) -> dict[str, float | None]:
        """The measures of the fold; None where undefined.

        Slides count alike, but for what is outside of the tissue, which is of the locations of all
        slides together, and what clusters explain, which is of all their tiles.
        """
        least, most = USUAL_FOREGROUND
        covered = [facts["coverage_fg"] for facts in self.masks]
        with np.errstate(invalid="ignore"):
            marked, anywhere = (self.cells[:, 1] / self.cells.sum(axis=1)).tolist()
        explained = np.nan
        if self.means:
            explained = explained_share(np.concatenate(self.means), np.concatenate(self.clusters))
        contrast = {
            split: class_contrast(np.array(self.shares[split]), labels, self.findings)
            for split, labels in self.labels.items()
        }
        return {
            "slides": len(self.masks),
            "unusual": sum(not least <= share <= most for share in covered),
            "foreground": _mean(covered),
            "background": _mean([facts["coverage_bg"] for facts in self.masks]),
            "ignored": _mean([facts["ignored"] for facts in self.masks]),
            "entropy": _mean([facts["entropy"] for facts in self.masks]),
            "spread": _mean(self.spreads),
            "outside_tissue": marked,
            "outside_by_chance": anywhere,
            "cluster_share": explained,
            "contrast_train": contrast["train"],
            "contrast_val": contrast["val"],
        }


def warnings(found: Mapping[str, float], *, weak: str | None) -> list[str]:
    """What speaks against refining this evidence, in sentences; `weak` is of the classifier.

    found: fold, slides, unusual, foreground and spread, as in the table.
    """
    said = [weak] if weak else []
    fold, slides = found["fold"], found["slides"]
    if not slides:
        return [*said, f"Fold {fold} has no training slide with a finding to learn a decoder from."]
    if found["spread"] < FLAT:
        said.append(
            f"The evidence of fold {fold} is flat (its standard deviation within a slide is "
            f"{found['spread']:.3f} of 1): it says little about where."
        )
    least, most = USUAL_FOREGROUND
    if 2 * found["unusual"] > slides or not least <= found["foreground"] <= most:
        said.append(
            f"In fold {fold} the foreground of {found['unusual']} of {slides} training slides is "
            f"outside of {least:.1%} to {most:.0%} ({found['foreground']:.1%} on average): its "
            "pseudo-masks mark nearly nothing or nearly everything."
        )
    return said


def describe(row: Mapping[str, float]) -> str:
    """A row of the table in words, for the log."""
    if not row["slides"]:
        return "no training slide with a finding"
    return (
        f"{row['foreground']:.1%} foreground, {row['ignored']:.1%} ignored, evidence varies by "
        f"{row['spread']:.2f} within a slide, {row['outside_tissue']:.1%} of the foreground is "
        f"outside the tissue ({row['outside_by_chance']:.1%} by chance)"
    )


def quality_table(rows: Sequence[Mapping[str, str]]) -> list[dict]:
    """Rows of the table as the report shows them: fold, cells by title, warning."""
    return [
        {
            "fold": row["fold"],
            "cells": {
                title: form.format(float(row[name])) if row[name] else "not defined"
                for name, (title, form) in TITLES.items()
            }
            | {AGREEMENT: agreement.shown(row)},
            "warning": row["warning"],
        }
        for row in rows
    ]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
