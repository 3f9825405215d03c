"""What a network learns from without labels, what watches it learn, and what is kept of both."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from workflow.lib.clusters.clusters import Clusters
from workflow.lib.clusters.monitors import Watched, watch
from workflow.lib.cohort.folds import SPLITS
from workflow.lib.jobs.tables import write_table
from workflow.lib.tiles.bags import TileBag, open_bag


@dataclass(frozen=True)
class LearningSet:
    """
    bag      tiles of the fold's slides that are not quarantined
    rows     (N,) int64, those of `bag` to learn from, ascending
    watched  labelled tiles for a linear probe, or None where classes are missing
    made     tile_px and mpp of the tiles
    fit_on   "train" or "all": the slides that `rows` are of
    """

    bag: TileBag
    rows: np.ndarray
    watched: Watched | None
    made: dict[str, float]
    fit_on: str

    def write(
        self, unit: Path, network: nn.Module, clusters: Clusters, outcome: dict, *, encoder: str
    ) -> dict:
        """Write the network, the clusters and the curves that came of it; facts for the manifest.

        outcome: how training went, "curves" included; encoder: what its features are called.
        """
        told = {name: value for name, value in outcome.items() if name != "curves"}
        write_table(unit / "curves.tsv", outcome["curves"][0], outcome["curves"])
        np.savez(unit / "clusters.npz", **vars(clusters))
        record = network.cpu().save(unit, told)
        seen = np.unique(self.bag.slide.numpy()[self.rows])
        trained_on = [self.bag.slides[index] for index in seen]
        return {
            **told,
            "k": len(clusters.centroids),
            "components": len(clusters.scale),
            "n_tiles": len(self.rows),
            "n_slides": len(trained_on),
            "trained_on": trained_on,
            "chosen_on": sorted(set(self.bag.slides) - set(trained_on)),
            "fit_on": self.fit_on,
            "made_by": {"encoder": encoder, "checkpoint": record["sha256"], **self.made},
        }


def sides(fit_on: str) -> Sequence[str]:
    """The splits of a fold that such a network may look at.

    fit_on "train": training slides, and validation slides for the probe; "all": all.
    """
    return SPLITS if fit_on == "all" else ("train", "val")


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
    watched = watch(bag, *sides, classes=len(classes), seed=seed)
    return LearningSet(bag, learnt, watched, made, fit_on)
