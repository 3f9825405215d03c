"""Draw where the clusters are on each slide."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.report.cluster_maps import add_legend, colour_tiles, lay_tiles
from workflow.lib.report.montage import cluster_colours
from workflow.lib.tiles.stores import Tiles, open_group

log = logging.getLogger(__name__)


def draw_cluster_maps(
    tiles: Path,
    tissue: Path,
    assignments: list[Path],
    splits: Path,
    cluster_maps: Path,
    *,
    shard: Shard,
    max_side_px: int,
) -> None:
    """Draw each slide in grey with its tiles coloured by cluster, and a legend.

    The clusters are those of the fold that tests the slide, fitted without it; of fold 0 for a
    slide that no fold tests.
    """
    folders = {index.parent.name.removeprefix("fold"): index.parent for index in assignments}
    tested = {r["slide"]: r["fold"] for r in read_table(splits) if r["split"] == "test"}

    def fold_of(slide: Slide) -> str:
        return tested.get(slide.slide, "0")

    def upstream(slide: Slide) -> list[Path]:
        return [tiles.parent, tissue.parent, folders[fold_of(slide)], splits]

    def work(slide: Slide, folder: Path) -> dict:
        store, fold = Tiles(tiles.parent / slide.slide / "tiles.zarr"), fold_of(slide)
        unit = folders[fold] / slide.slide
        ids = open_group(unit / "assignments.zarr")["assignments"][:]
        colours = cluster_colours(manifest(unit)["facts"]["k"])
        with Image.open(tissue.parent / slide.slide / "thumbnail.jpg") as image:
            thumbnail = np.asarray(image.convert("RGB"))
        shape = _shape(store, max_side_px)
        boxes = _boxes(store, shape)
        # A small slide has a thumbnail of a few pixels: its tiles are sharper, and few.
        sharper = max(shape) > max(thumbnail.shape[:2])
        background = lay_tiles(thumbnail, shape, _pixels(store, boxes) if sharper else ())
        picture = colour_tiles(background, boxes, ids, colours)
        without = (
            "fitted without this slide" if slide.slide in tested else "no fold tests this slide"
        )
        page = add_legend(
            picture, ids, colours, title=slide.slide, note=f"clusters of fold {fold}, {without}"
        )
        Image.fromarray(page).save(folder / "cluster_map.png", optimize=True)
        return {"tiles": len(store), "fold": int(fold), "k": len(colours)}

    visit(cluster_maps, shard, work, upstream=upstream)


def _shape(store: Tiles, max_side_px: int) -> tuple[int, int]:
    """Rows and columns of the picture: at most `max_side_px`, and no finer than the tiles."""
    height, width = store.attrs["height_px"], store.attrs["width_px"]
    scale = min(1.0, max_side_px / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _boxes(store: Tiles, shape: tuple[int, int]) -> np.ndarray:
    """Where each tile lies on a picture of `shape`: (N, 4) int64, y0, x0, y1, x1.

    Corners are rounded, not sizes, so that neighbours meet without a gap.
    """
    size = np.array([store.attrs["height_px"], store.attrs["width_px"]])
    corners = np.concatenate(
        [store.positions_px, store.positions_px + store.attrs["tile_px"]], axis=1
    )
    scaled = np.rint(corners * np.tile(np.array(shape) / size, 2)).astype(np.int64)
    return np.clip(scaled, 0, np.tile(shape, 2))


def _pixels(store: Tiles, boxes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each box with the pixels of its tile, without what a tile has beyond the slide."""
    limits = np.array([store.attrs["height_px"], store.attrs["width_px"]]) - store.positions_px
    for index, (box, (height, width)) in enumerate(zip(boxes, limits, strict=True)):
        yield box, store.pixels(index)[:height, :width]


if __name__ == "__main__":
    run(draw_cluster_maps, globals().get("snakemake"))
