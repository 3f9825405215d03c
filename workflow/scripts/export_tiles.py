"""Write what is known of every tile of a slide as a table, and as squares for QuPath."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.exports.tile_squares import tile_squares
from workflow.lib.exports.tile_tables import Found, Placement, Tiling, make_table, write_parquet
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.maps.polygons import write_geojson
from workflow.lib.report.colours import class_colour
from workflow.lib.tiles.codes import FULL
from workflow.lib.tiles.stores import Tiles, open_group

log = logging.getLogger(__name__)

BLOCK = 64  # tile maps read at once


def export_tiles(
    tiles: Path,
    assignments: list[Path],
    scores: list[Path],
    refined: list[Path],
    splits: Path,
    tile_tables: Path,
    *,
    shard: Shard,
    classes: list[str],
) -> None:
    """Write a table (Parquet) and the squares (GeoJSON) of the tiles of every slide.

    All that models say is of the fold that tests the slide. Where no fold does, only clusters are
    told, those of the first fold: `cluster_fold` says of which they are.
    """
    placed = read_table(splits)
    tested = {row["slide"]: int(row["fold"]) for row in placed if row["split"] == "test"}
    methods = sorted({index.parents[1].name for index in refined})

    def at(stages: list[Path], slide: str, fold: int | None) -> list[Path]:
        """Of stages those of a fold that have a result of a slide."""
        folders = [index.parent for index in stages if index.parent.name == f"fold{fold}"]
        return [folder for folder in folders if usable(folder, [slide])]

    def sources(slide: Slide) -> list[Path]:
        fold = tested.get(slide.slide)
        folders = [tiles.parent, splits, *at(assignments, slide.slide, fold or 0)]
        return folders + at(scores, slide.slide, fold) + at(refined, slide.slide, fold)

    def work(slide: Slide, folder: Path) -> dict:
        store, fold = Tiles(tiles.parent / slide.slide / "tiles.zarr"), tested.get(slide.slide)
        (clustered,) = (folder / slide.slide for folder in at(assignments, slide.slide, fold or 0))
        scored = [folder / slide.slide for folder in at(scores, slide.slide, fold)]
        shown = {
            folder.parent.name: folder / slide.slide for folder in at(refined, slide.slide, fold)
        }
        found = Found(
            open_group(clustered / "assignments.zarr")["assignments"][:],
            fold or 0,
            open_group(scored[0] / "scores.zarr")["probability"][:] if scored else None,
            {method: _means(unit / "refined.zarr") for method, unit in shown.items()},
        )
        rows = [row for row in placed if row["slide"] == slide.slide]
        of = Placement(
            slide.slide,
            rows[0]["patient"],
            rows[0]["label"] or None,
            slide.site,
            fold,
            {int(row["fold"]): row["split"] for row in rows},
        )
        side_px0 = store.attrs["tile_px"] * store.attrs["scale"]
        lie = (store.origins, side_px0, store.attrs["mpp"], store.tissue, store.blur, store.bad)
        table = make_table(of, Tiling(*lie), found, classes=classes, methods=methods)
        write_parquet(folder / "tiles.parquet", [table])
        squares = tile_squares(
            table,
            size_px0=(store.attrs["height_px0"], store.attrs["width_px0"]),
            classes={name: class_colour(index) for index, name in enumerate(classes)},
            methods={method: _quantity(unit) for method, unit in shown.items()},
        )
        write_geojson(folder / "tiles.geojson.gz", squares)
        log.info("%s: %d tiles, %d of them as squares.", slide.slide, len(store), len(squares))
        return {"tiles": len(store), "squares": len(squares)}

    visit(tile_tables, shard, work, upstream=sources)


def _means(store: Path) -> np.ndarray:
    """The mean of the map of every tile, (N,) float64 0..1."""
    maps = open_group(store)["probability"]
    blocks = (maps[start : start + BLOCK] for start in range(0, maps.shape[0], BLOCK))
    means = [block.mean(axis=(1, 2), dtype=np.float64) / FULL for block in blocks]
    return np.concatenate([np.zeros(0), *means])


def _quantity(unit: Path) -> str:
    return manifest(unit)["facts"].get("quantity", "probability")


if __name__ == "__main__":
    run(export_tiles, globals().get("snakemake"))
