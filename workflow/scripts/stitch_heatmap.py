"""Stitch the refined tiles of each slide into one heatmap."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.maps.heatmaps import stitch_maps
from workflow.lib.maps.polygons import annotations, find_regions, write_geojson
from workflow.lib.maps.pyramids import finest_level, read_level, write_heatmap, write_ome_tiff
from workflow.lib.maps.stitching import Tally
from workflow.lib.report.colours import class_colour
from workflow.lib.tiles.codes import FULL
from workflow.lib.tiles.stores import Tiles, open_group

log = logging.getLogger(__name__)

POLYGON_PIXELS = 1 << 24  # polygons are drawn on the finest level with at most so many pixels
SIMPLIFY_PX = 0.5  # px of that level; makes steps into slopes and costs less than 0.5% of an area


def stitch_heatmap(
    tiles: Path,
    refined: list[Path],
    splits: Path,
    heatmaps: Path,
    *,
    shard: Shard,
    method: str,
    classes: list[str],
    window: str,
    polygon_threshold: float,
    min_polygon_um2: float,
) -> None:
    """Write the heatmap of each test slide, from the fold that did not train on it.

    Each is a pyramid as OME-Zarr and as OME-TIFF, with the polygons above `polygon_threshold`. A
    tile that could not be read is left out of it.
    """
    stages = {index.parent.name.removeprefix("fold"): index.parent for index in refined}
    folds = {
        row["slide"]: row["fold"]
        for row in read_table(splits)
        if row["split"] == "test" and row["fold"] in stages
    }

    def stage(slide: Slide) -> Path:
        return stages[folds[slide.slide]]

    def work(slide: Slide, folder: Path) -> dict:
        store = Tiles(tiles.parent / slide.slide / "tiles.zarr")
        source = stage(slide) / slide.slide
        made = manifest(source)["facts"]
        name, quantity = made.get("class", "evidence"), made.get("quantity", "probability")
        colour = class_colour(classes.index(name) if name in classes else 1)
        size, bands = stitch_maps(store, open_group(source / "refined.zarr"), window)
        tally = Tally(polygon_threshold)
        heatmap = write_heatmap(
            folder / "heatmap.ome.zarr",
            tally.watch(bands),
            tuple(size["shape"]),
            mpp=size["mpp"],
            mpp0=size["mpp"] / size["scale_px0"],
            name=slide.slide,
            channels={name: colour},
        )
        write_ome_tiff(folder / "heatmap.ome.tif", heatmap, quantity=quantity)
        level = finest_level(heatmap, POLYGON_PIXELS)
        probability, covered = read_level(heatmap, level)
        level_mpp = size["mpp"] * 2**level
        regions = find_regions(
            probability / np.float32(FULL),
            covered & (probability >= polygon_threshold * FULL),
            min_pixels=min_polygon_um2 / level_mpp**2,
            simplify_px=SIMPLIFY_PX,
        )
        features = annotations(
            regions,
            scale_px0=size["scale_px0"] * 2**level,
            size_px0=(size["height_px0"], size["width_px0"]),
            mpp=level_mpp,
            name=name,
            colour=colour,
            quantity=quantity,
            key=f"{slide.slide}/{method}",
        )
        write_geojson(folder / "polygons.geojson.gz", features)
        covered_um2, marked_um2 = (n * size["mpp"] ** 2 for n in (tally.covered, tally.marked))
        log.info(
            "%s: %.2f mm2 looked at, %.2f mm2 of it above %g, %d polygons.",
            *(slide.slide, covered_um2 / 1e6, marked_um2 / 1e6, polygon_threshold, len(features)),
        )
        facts = {"fold": int(folds[slide.slide]), "method": method}
        facts |= {"class": name, "quantity": quantity}
        facts |= {"tiles": len(store), "polygons": len(features), "polygon_mpp": level_mpp}
        return facts | size | {"covered_um2": covered_um2, "marked_um2": marked_um2}

    visit(heatmaps, shard, work, upstream=lambda s: [tiles.parent, stage(s)], only=folds)


if __name__ == "__main__":
    run(stitch_heatmap, globals().get("snakemake"))
