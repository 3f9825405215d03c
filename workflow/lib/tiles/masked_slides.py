"""Which slides taught a model with their pixel masks, so that what comes of it can say so."""

from collections.abc import Iterable, Mapping, Set
from pathlib import Path

from workflow.lib.jobs.units import manifest, usable


def masked(tile_labels: Path, slides: Iterable[str]) -> frozenset[str]:
    """Those of `slides` whose tile labels come from a pixel mask (mark_tiles).

    tile_labels: a folder with a unit per slide.
    """
    units = (tile_labels / slide for slide in usable(tile_labels, slides))
    return frozenset(unit.name for unit in units if manifest(unit)["facts"].get("mask"))


def teachers(classifiers: Iterable[Path]) -> dict[str, Set[str]]:
    """Fold -> the masked slides that its classifier learnt from or that chose its epoch.

    classifiers: the indices of their units, fold0.json and so on.
    """
    units = {index.stem.removeprefix("fold"): index.with_suffix("") for index in classifiers}
    return {fold: frozenset(manifest(unit)["facts"]["masks"]) for fold, unit in units.items()}


def count_masks(folds: Iterable[str], taught: Mapping[str, Set[str]], *more: Set[str]) -> int:
    """How many pixel masks are behind a number of these folds: each once, and those of `more`.

    >>> count_masks(["0", "1"], {"0": {"a", "b"}, "1": {"b"}}, {"c"})
    3
    """
    return len(set().union(*(taught.get(fold, ()) for fold in folds), *more))
