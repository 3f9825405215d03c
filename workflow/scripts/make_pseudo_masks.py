"""Make pseudo-masks: the pixels of a slide whose evidence is clear enough to train on."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from workflow.lib.cohort.folds import in_fold
from workflow.lib.cohort.sheet import Slide
from workflow.lib.evidence.cams import is_flat, slide_evidence, upsample
from workflow.lib.evidence.pseudo_masks import (
    BACKGROUND,
    IGNORE,
    USUAL_FOREGROUND,
    Quality,
    threshold_cams,
)
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.shards import Shards
from workflow.lib.tiles.stores import Tiles, append_rows, create_group, create_rows, open_group

log = logging.getLogger(__name__)

BLOCK = 64  # tiles held at full size at a time


def make_pseudo_masks(
    cams: Path,
    tiles: Path,
    splits: Path,
    pseudo_masks: Path,
    *,
    shard: Shard,
    fold: int,
    foreground: float,
    background: float,
    negative: str | None,
    cam_scale: str,
) -> None:
    """Write foreground, background and ignored pixels of the training and validation slides.

    Slides of the negative class are background throughout. A slide whose cam has no contrast and
    tiles that could not be read are ignored.
    """
    only = set(in_fold(read_table(splits), fold, "train", "val"))

    def work(slide: Slide, folder: Path) -> dict:
        store, seen = Tiles(tiles.parent / slide.slide / "tiles.zarr"), cams.parent / slide.slide
        facts, source = manifest(seen)["facts"], Shards(seen / "cams.zarr" / "cams")
        classes = open_group(seen / "cams.zarr").attrs["classes"]
        side, count, quality = store.attrs["tile_px"], len(store), Quality()
        is_negative = negative is not None and slide.label == negative
        says_nothing = is_flat(facts, cam_scale)

        def blocks() -> Iterator[np.ndarray]:
            for start in range(0, count, BLOCK):
                block = source[start : start + BLOCK]
                cam = slide_evidence(block, classes, facts, scale=cam_scale)
                evidence = upsample(cam, side).numpy()
                masks = threshold_cams(evidence, foreground=foreground, background=background)
                if is_negative:
                    masks[:] = BACKGROUND
                elif says_nothing:
                    masks[:] = IGNORE
                masks[store.bad[start : start + BLOCK]] = IGNORE
                quality.add(masks, evidence)
                yield masks

        group = create_group(folder / "pseudo_masks.zarr", {"fold": fold, "tile_px": side})
        append_rows(create_rows(group, "pseudo_masks", (count, side, side), "uint8"), blocks())
        found = quality.facts()
        if count and not is_negative:
            _judge(slide.slide, found["coverage_fg"])
        return {"tiles": count, **found}

    visit(pseudo_masks, shard, work, upstream=[tiles.parent, cams.parent], only=only)


def _judge(slide: str, foreground: float) -> None:
    log.info("%s: %.1f%% of the pixels are foreground.", slide, 100 * foreground)
    least, most = USUAL_FOREGROUND
    if not least <= foreground <= most:
        log.warning(
            "%s: %.1f%% foreground is suspect; the classifier may be too weak to localise from. "
            "Look at its cam before you trust what is trained on it.",
            slide,
            100 * foreground,
        )


if __name__ == "__main__":
    run(make_pseudo_masks, globals().get("snakemake"))
