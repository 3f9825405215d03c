"""Read the points that the sheet names, and say where they cannot be used."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.evidence.pseudo_masks import FOREGROUND
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.points import Points, check_inside, find_sides, read_points
from workflow.lib.tiles.stores import create_group, write_rows

log = logging.getLogger(__name__)


def check_points(
    checks: Path, points: Path, *, shard: Shard, classes: list[str], negative: str | None
) -> None:
    """Write the points of each slide, places (P, 2) in level-0 px and sides (P,), 1 = foreground.

    A slide whose sheet names no file has none. A file that cannot be used is a verdict on the
    points alone: the slide stays in the study, and nothing is learnt from its points.
    """

    def work(slide: Slide, folder: Path) -> dict:
        found, sides = Points(np.empty((0, 2)), []), np.empty(0, np.uint8)
        if slide.points:
            facts = manifest(checks.parent / slide.slide)["facts"]
            found, sides = _read(slide, facts, classes, negative)
            marked = int((sides == FOREGROUND).sum())
            log.info(
                "%s: %d points, %d of them foreground.", slide.slide, len(found.places), marked
            )
        group = create_group(folder / "points.zarr")
        write_rows(group, "places_px0", found.places)
        write_rows(group, "sides", sides)
        return {"points": len(found.places)}

    visit(points, shard, work, upstream=[checks.parent])


def _read(
    slide: Slide, facts: dict, classes: list[str], negative: str | None
) -> tuple[Points, np.ndarray]:
    try:
        found = read_points(slide.points)
        check_inside(found, (facts["height_px0"], facts["width_px0"]))
        sides = find_sides(found.names, classes, negative)
        if negative is not None and slide.label == negative and (sides == FOREGROUND).any():
            name = found.names[int((sides == FOREGROUND).argmax())]
            raise ValueError(f"a point is of {name!r}, but the slide is labelled {negative!r}")
    except ValueError as error:
        sentence = f"{slide.slide}: the points of {slide.points.name} cannot be used: {error}."
        raise Quarantine("E_POINTS", sentence) from error
    return found, sides


if __name__ == "__main__":
    run(check_points, globals().get("snakemake"))
