"""Which slides taught a model with their pixel masks, so that what comes of it can say so."""

from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path

from workflow.lib.units import manifest, usable


def masked(tile_labels: Path, slides: Iterable[str]) -> frozenset[str]:
    """Those of `slides` whose tile labels come from a pixel mask.

    tile_labels: the stage folder of a fold, with a unit per slide.
    """
    found = usable(tile_labels, slides)
    return frozenset(slide for slide in found if manifest(tile_labels / slide)["facts"]["mask"])


def teachers(indices: Iterable[Path], placed: Sequence[Mapping[str, str]]) -> dict[str, Set[str]]:
    """Fold -> the masked slides that its models learnt from or chose their epoch by.

    indices: of tile labels, .../fold<n>/<shard>.json; placed: rows of splits.tsv. {} without any.
    """
    found = {}
    for folder in sorted({index.parent for index in indices}):
        fold = folder.name.removeprefix("fold")
        learnt = [r["slide"] for r in placed if r["fold"] == fold and r["split"] != "test"]
        found[fold] = masked(folder, learnt)
    return found


def count_masks(folds: Iterable[str], taught: Mapping[str, Set[str]], *more: Set[str]) -> int:
    """How many pixel masks are behind a number of these folds: each once, and those of `more`.

    >>> count_masks(["0", "1"], {"0": {"a", "b"}, "1": {"b"}}, {"c"})
    3
    """
    return len(set().union(*(taught.get(fold, ()) for fold in folds), *more))
