"""Compare heatmaps with pixel truth, out of fold."""

import logging
from collections.abc import Set
from pathlib import Path

import numpy as np

from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.job import run
from workflow.lib.jobs.names import UNRELATED
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import METRICS, read_table, write_table
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.maps.heatmaps import read_bands, stitch_maps
from workflow.lib.measures.pixel_metrics import BINS, count_bands
from workflow.lib.measures.pixel_tables import (
    CHOICES,
    CURVES,
    SLIDES,
    Counted,
    Validated,
    choice_rows,
    choose_thresholds,
    curve_rows,
    metric_rows,
    slide_rows,
)
from workflow.lib.refine.drawn_slides import draw_slides, with_tiles
from workflow.lib.refine.known_truth import known_masks
from workflow.lib.slides.truth import read_mask
from workflow.lib.tiles.codes import to_codes
from workflow.lib.tiles.masked_slides import teachers
from workflow.lib.tiles.stores import Tiles, open_group

log = logging.getLogger(__name__)


def evaluate_masks(
    heatmaps: list[Path],
    refined: list[Path],
    tiles: list[Path],
    checks: list[Path],
    classifiers: list[Path],
    splits: Path,
    evaluation: Path,
    slides: Path,
    curves: Path,
    thresholds: Path,
    *,
    shard: Shard,
    method: str,
    seed: int,
    bootstrap: int,
    masks: int | None,
    negative: str | None,
    window: str,
) -> None:
    """Score the heatmap of every test slide that has a pixel mask, where tiles cover the slide.

    Where there are masks at all, a slide of the class `negative` needs none: all of it is
    background, and leaving it out would hide what is falsely marked there. How much of the truth
    lies outside of the tiles is a row of its own. Thresholds are chosen on the validation slides
    of the fold: `otsu_val` without their masks, `best_val` with them. There is no `otsu_val` where
    all of them are `negative`: it would only part noise from noise. The slides that had a say in
    each are written beside it: summarise_study audits them.

    masks: how many validation slides `best_val` looks at, drawn as train_negev draws; None: all
    classifiers: what tells how many masks taught them or chose their epoch, so that every row of a
        method that builds on them says so
    """
    known = known_masks(shard.slides, negative)
    known = known if any(known.values()) else {}
    placed = read_table(splits)
    units, facts = tiles[0].parent, checks[0].parent
    tested = [row for row in placed if row["split"] == "test" and row["slide"] in known]
    taught = {} if method in UNRELATED else teachers(classifiers)
    about = (heatmaps[0].parent, refined[0].parents[1], facts, known)
    counted = [_count(row, *about, taught.get(row["fold"], frozenset())) for row in tested]
    findings = {row["slide"] for row in placed if row["label"] != negative}
    chosen = []
    for folder in sorted({index.parent for index in refined}) if tested else []:
        fold = folder.name.removeprefix("fold")
        members = in_fold(placed, int(fold), "val")
        asked = known
        if masks is not None:
            labels = {s: members[s]["label"] for s in with_tiles(folder, members) if s in known}
            asked = {slide: known[slide] for slide in draw_slides(labels, masks, seed=seed)}
        about = (folder, units, facts, asked, window)
        seen = [_validate(slide, *about) for slide in usable(folder, members)]
        chosen += choose_thresholds(fold, seen, findings)
    draws = {"replicates": bootstrap, "seed": seed}
    rows = metric_rows(counted, chosen, method=method, **draws)
    write_table(evaluation, METRICS, rows)
    write_table(slides, SLIDES, slide_rows(counted, chosen, rule="otsu_val", method=method))
    write_table(curves, CURVES, curve_rows(counted, method=method))
    write_table(thresholds, CHOICES, choice_rows(chosen, method=method))
    compared = sum(bool(slide.counts.any()) for slide in counted)
    log.info("%s: %d of %d slides compared with pixel truth.", method, compared, len(counted))


def _count(
    row: dict[str, str],
    maps: Path,
    refined: Path,
    facts: Path,
    masks: dict[str, Path | None],
    taught: Set[str],
) -> Counted:
    """The heatmap of a tested slide against its truth; a note where that is impossible.

    taught: slides whose masks the classifier of its fold learnt from; those of the refiner join.
    """
    slide, about = row["slide"], {key: row[key] for key in ("slide", "patient", "fold")}
    try:
        if not usable(maps, [slide]):
            raise ValueError("there is no heatmap of it; its verdict says why")
        found = manifest(maps / slide)["facts"]
        _check_fold(slide, found, row["fold"])
        truth = _truth(masks[slide], facts / slide, found)
        counts, uncovered = count_bands(read_bands(maps / slide / "heatmap.ome.zarr"), truth)
        learnt = manifest(refined / f"fold{row['fold']}" / slide)["facts"]["masks"]
    except ValueError as error:
        log.warning("%s is left out: %s.", slide, error)
        return Counted(**about, counts=np.zeros((2, BINS), np.int64), uncovered=0, note=str(error))
    return Counted(**about, counts=counts, uncovered=uncovered, masks=taught | frozenset(learnt))


def _validate(
    slide: str, refined: Path, tiles: Path, facts: Path, masks: dict[str, Path | None], window: str
) -> Validated:
    """The scores of a validation slide; without its truth where the mask cannot be used."""
    store = Tiles(tiles / slide / "tiles.zarr")
    geometry, bands = stitch_maps(store, open_group(refined / slide / "refined.zarr"), window)
    known, mask = slide in masks, masks.get(slide)
    try:
        truth = _truth(mask, facts / slide, geometry)
    except ValueError as error:
        log.warning("%s has no say in the threshold best_val: %s.", slide, error)
        known, truth = False, _truth(None, facts / slide, geometry)
    coded = ((row, to_codes(probability), covered) for row, probability, covered in bands)
    counts, _ = count_bands(coded, truth)
    return Validated(slide, counts, known=known, masked=known and mask is not None)


def _check_fold(slide: str, facts: dict, fold: str) -> None:
    """Make sure that a heatmap comes from models that never saw the slide's patient."""
    if str(facts["fold"]) != fold:
        raise RuntimeError(
            f"{slide} is tested in fold {fold} but its heatmap is of fold {facts['fold']}:"
            " that model may have trained on it. Remove the heatmap and run again"
        )


def _truth(mask: Path | None, check: Path, geometry: dict) -> np.ndarray:
    """The pixel truth of a slide on the grid of its heatmap, nonzero on foreground."""
    shape = tuple(geometry["shape"])
    if mask is None:
        return np.zeros(shape, np.uint8)
    facts = manifest(check)["facts"]
    shape_px0 = (facts["height_px0"], facts["width_px0"])
    return read_mask(mask, shape_px0=shape_px0, out_shape=shape, scale=geometry["scale_px0"])


if __name__ == "__main__":
    run(evaluate_masks, globals().get("snakemake"))
