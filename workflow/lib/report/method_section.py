"""What the page says of the methods: a table of all, their thresholds, curves and examples."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.measures.method_tables import (
    MASKS,
    POINTS,
    QUANTITIES,
    chance_text,
    estimate_text,
    seconds_text,
)
from workflow.lib.report.cards import Row, agreement_text
from workflow.lib.report.charts import pixel_charts
from workflow.lib.report.examples import choose_examples
from workflow.lib.report.pages import embed_pictures
from workflow.lib.report.study import Study
from workflow.lib.report.summary import threshold_table

SIDE_PX = 500  # px of an enlarged example; as a thumbnail it is 300 px wide at most
TITLES = {"pxap": "PxAP of 100", "dice": "Dice", "miou": "mean IoU", "auroc": "image AUROC"}


def describe_methods(
    study: Study,
    compared: Sequence[Mapping],
    *,
    metrics: Sequence[Row],
    curves: Mapping[str, Sequence[Row]],
) -> dict:
    """The section on methods, as the template reads it.

    compared  rows of `method_tables.compare_methods`
    curves    method -> the points of its precision and recall
    """
    rows = [_row(row) for row in compared]
    return {
        "titles": [TITLES[name] for name in QUANTITIES],
        "labels": [row for row in rows if row["learns_from"] not in (POINTS, MASKS)],
        "marked": [row for row in rows if row["learns_from"] in (POINTS, MASKS)],
        "chance": chance_text(compared),
        "timing": _timing(compared),
        "thresholds": threshold_table(metrics, study.methods),
        "charts": pixel_charts({study.methods[m]: points for m, points in curves.items()}),
        "examples": list(_examples(study, [row["method"] for row in compared])),
    }


def _row(row: Mapping) -> dict:
    return {
        "name": row["name"],
        "learns_from": row["learns_from"],
        "slides": row["slides"],
        "cells": [estimate_text(row, name) for name in QUANTITIES],
        "masks": row["pixel_masks_used"],
        "seconds": seconds_text(row["seconds_per_image"]),
    }


def _timing(compared: Sequence[Mapping]) -> str:
    """On what the seconds were measured, and of how many images; empty where none were."""
    counts = sorted({row["images_timed"] for row in compared} - {0})
    if not counts:
        return ""
    devices = sorted({row["devices"] for row in compared} - {""})
    fewest = f"{counts[0]} to " if len(counts) > 1 else ""
    images = f"{fewest}{counts[-1]} image{'' if counts[-1] == 1 else 's'}"
    return f"{images}, on {' and '.join(devices)}" if devices else images


def _examples(study: Study, methods: Sequence[str]) -> Iterator[dict]:
    """Groups of slides to look at: those of the first method by all, then those of every other.

    The first of `methods` leads: its best, median and worst slide are shown by every method, so
    that methods compare on the same slides. Every other follows with slides of its own.
    """
    drawn = _Drawn(study)
    for place, method in enumerate(methods):
        chosen = choose_examples(study.masked[method].values())
        chosen = {w: row for w, row in chosen.items() if row["slide"] in drawn.slides}
        name = study.methods[method]
        shown = [method] if place else list(methods)
        if chosen:
            yield {
                "title": name if place else f"{name}, and the others on the same slides",
                "pairs": place > 0,
                "slides": [
                    {
                        "word": word,
                        "slide": row["slide"],
                        "pictures": embed_pictures(drawn.pictures(row["slide"], shown)),
                    }
                    for word, row in chosen.items()
                ],
            }


class _Drawn:
    """Draws slides for the page; each is read from its tiles once."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self.slides: dict[str, Slide] = {slide.slide: slide for slide in study.used}
        self.known: dict[str, np.ndarray] = {}

    def pictures(self, name: str, methods: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
        """Titles and pictures: the slide with its truth, and each method's heatmap on it."""
        slide, study = self.slides[name], self.study
        if name not in self.known:
            self.known[name] = study.picture(slide, max_side_px=SIDE_PX)
        picture = self.known[name]
        yield study.truth(slide, picture) if slide.mask else ("slide", picture)
        for method in methods:
            row = study.masked[method].get(name)
            if row and name in study.drawn[method]:
                title = f"{study.methods[method]}: {agreement_text(row)}"
                yield title, study.example(slide, method, picture)
