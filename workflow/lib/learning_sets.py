"""Tiles of a fold that a network learns from without labels, and those that watch it learn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow.lib.bags import TileBag, open_bag
from workflow.lib.monitors import Watched, watch


@dataclass(frozen=True)
class LearningSet:
    """
    bag      tiles of the fold's slides that are not quarantined
    rows     (N,) int64, those of `bag` to learn from, ascending
    watched  labelled tiles for a linear probe, or None where classes are missing
    made     tile_px and mpp of the tiles
    """

    bag: TileBag
    rows: np.ndarray
    watched: Watched | None
    made: dict[str, float]

    def facts(self) -> dict[str, int]:
        """How much was learnt from, for a manifest."""
        slides = np.unique(self.bag.slide.numpy()[self.rows])
        return {"n_tiles": len(self.rows), "n_slides": len(slides)}


def place(rows: Sequence[Mapping], fold: int, fit_on: str) -> dict[str, dict]:
    """The rows of splits.tsv that such a network of `fold` may look at, by slide.

    fit_on "train": its training slides, and its validation slides for the probe; "all": all.
    """
    splits = ("train", "val", "test") if fit_on == "all" else ("train", "val")
    return {
        row["slide"]: row for row in rows if row["fold"] == str(fold) and row["split"] in splits
    }


def gather(
    folder: Path,
    placed: Mapping[str, Mapping],
    *,
    classes: Sequence[str],
    fold: int,
    fit_on: str,
    max_tiles: int,
    seed: int,
) -> LearningSet:
    """The tiles of the slides `placed`: of training slides, or of all of them, to learn from.

    Above `max_tiles` they are drawn at random, each with the same chance. Raises ValueError when
    there are fewer than two.
    """
    numbers = {name: number for number, name in enumerate(classes)}  # -1: the label is no class
    bag = open_bag(folder, {slide: numbers.get(row["label"], -1) for slide, row in placed.items()})
    split = np.array([placed[slide]["split"] for slide in bag.slides], str)[bag.slide.numpy()]
    learnt = np.flatnonzero((split == "train") | (fit_on == "all"))
    if len(learnt) < 2:
        raise ValueError(
            f"Fold {fold} has too few tiles to learn from, {len(learnt)} of at least 2: its slides "
            "are quarantined or hold too little tissue (verdicts.tsv and the log of tile_slide "
            "say which); lower tile_slide.min_tissue if the tissue masks are right"
        )
    learnt = np.sort(np.random.default_rng(seed).permutation(learnt)[:max_tiles])
    sides = (learnt[split[learnt] == "train"], np.flatnonzero(split == "val"))
    store = bag.stores[bag.slide[learnt[0]]]
    made = {name: store.attrs[name] for name in ("tile_px", "mpp")}
    return LearningSet(bag, learnt, watch(bag, *sides, classes=len(classes), seed=seed), made)
