"""The best, the median and the worst slide of a method: numbers alone hide how it fails."""

from collections.abc import Iterable, Mapping

import numpy as np
import zarr

from workflow.lib.maps.overlays import blend, lay_heatmap
from workflow.lib.report.pictures import EDGE, outline

Row = Mapping[str, str]


def choose_examples(rows: Iterable[Row]) -> dict[str, Row]:
    """ "best", "median" and "worst" -> a row of a method's table of slides, by Dice, then by PxAP.

    Only slides on which the truth marks something can be told apart so. The median is the lower of
    two; two slides have none, and a single one is the only one.

    >>> rows = [{"slide": s, "dice_fg": d, "pxap": "9", "foreground": "0.5"}
    ...         for s, d in (("a", "0.5"), ("b", "0.9"), ("c", "0.1"), ("d", "0.6"))]
    >>> {word: row["slide"] for word, row in choose_examples(rows).items()}
    {'best': 'b', 'median': 'a', 'worst': 'c'}
    """
    marked = [row for row in rows if row["pxap"] and float(row["foreground"] or 0)]
    ranked = sorted(marked, key=_agreement)
    if len(ranked) < 2:
        return {"only": ranked[0]} if ranked else {}
    median = {"median": ranked[(len(ranked) - 1) // 2]} if len(ranked) > 2 else {}
    return {"best": ranked[-1], **median, "worst": ranked[0]}


def draw_example(
    picture: np.ndarray, heatmap: zarr.Group, geometry: dict, threshold: float | None
) -> np.ndarray:
    """A heatmap on a picture (h, w, 3) of its slide, with a line around what the threshold parts.

    geometry: as in `overlays.lay_heatmap`. Without a threshold there is no line.
    """
    placed = lay_heatmap(heatmap, picture.shape[:2], geometry)
    drawn = blend(picture, placed)
    return drawn if threshold is None else outline(drawn, placed >= threshold, EDGE)


def _agreement(row: Row) -> tuple:
    return float(row["dice_fg"] or 0), float(row["pxap"]), row["slide"]
