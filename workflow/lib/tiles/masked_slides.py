"""Which slides taught a model with their pixel masks, so that what comes of it can say so."""

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

from workflow.lib.jobs.units import manifest, usable


def masked(tile_labels: Path, slides: Iterable[str]) -> frozenset[str]:
    """Those of `slides` whose tile labels come from a pixel mask (mark_tiles).

    tile_labels: a folder with a unit per slide.
    """
    units = (tile_labels / slide for slide in usable(tile_labels, slides))
    return frozenset(unit.name for unit in units if manifest(unit)["facts"].get("mask"))


def teachers(indices: Iterable[Path], placed: Sequence[Mapping[str, str]]) -> dict[str, Set[str]]:
    """Fold -> the masked slides that its models learnt from or chose their epoch by.

    indices: of what mark_tiles made, in one folder; placed: rows of splits.tsv. {} without any.
    """
    learnt: dict[str, set[str]] = {}
    for row in placed:
        learnt.setdefault(row["fold"], set()).update([row["slide"]] * (row["split"] != "test"))
    return {
        fold: masked(folder, slides)
        for folder in {index.parent for index in indices}
        for fold, slides in learnt.items()
    }


def count_masks(folds: Iterable[str], taught: Mapping[str, Set[str]], *more: Set[str]) -> int:
    """How many pixel masks are behind a number of these folds: each once, and those of `more`.

    >>> count_masks(["0", "1"], {"0": {"a", "b"}, "1": {"b"}}, {"c"})
    3
    """
    return len(set().union(*(taught.get(fold, ()) for fold in folds), *more))
