"""Which slides a fold looks at: rows of splits.tsv by slide."""

from collections.abc import Iterable, Mapping

SPLITS = ("train", "val", "test")


def in_fold(
    rows: Iterable[Mapping[str, str]], fold: int, *splits: str
) -> dict[str, Mapping[str, str]]:
    """Slide -> its row in `fold`, of slides on one of the sides `splits`; without any, of all.

    >>> rows = [{"fold": "0", "slide": "a", "split": "val"}, {"fold": "1", "slide": "b"}]
    >>> list(in_fold(rows, 0)), list(in_fold(rows, 0, "train", "test"))
    (['a'], [])
    """
    wanted = splits or SPLITS
    return {
        row["slide"]: row for row in rows if row["fold"] == str(fold) and row["split"] in wanted
    }
