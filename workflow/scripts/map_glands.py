"""Map the glands of every slide of a shard by stain and shape, without anything learnt."""

import logging
from pathlib import Path

from workflow.lib.cohort.sheet import Slide
from workflow.lib.evidence.glands import block_cells, gland_bands, map_shape
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.tiles.stores import LOSSLESS, Tiles, create_group

log = logging.getLogger(__name__)


def map_glands(
    tiles: Path,
    glands: Path,
    *,
    shard: Shard,
    cell_px: int,
    blur_um: float,
    min_lumen_um2: float,
    max_lumen_um2: float,
    wall_um: float,
) -> None:
    """Write evidence of glands (H, W) float16 in 0..1 for each slide, a cell per `cell_px` px.

    make_cams cuts it into tiles, for its method `glands`.
    """

    def work(slide: Slide, folder: Path) -> dict:
        store, side = Tiles(tiles.parent / slide.slide / "tiles.zarr"), block_cells(cell_px)
        shape = map_shape(store, cell_px)
        found = create_group(folder / "glands.zarr", {"cell_px": cell_px}).create_array(
            "glands",
            shape=shape,
            chunks=(side, side),
            shards=(side, -(-shape[1] // side) * side),  # a band: each is written once
            dtype="float16",
            compressors=LOSSLESS,
            fill_value=0,
            dimension_names=("y", "x"),
        )
        bands = gland_bands(
            store,
            cell_px=cell_px,
            blur_um=blur_um,
            min_lumen_um2=min_lumen_um2,
            max_lumen_um2=max_lumen_um2,
            wall_um=wall_um,
        )
        for row, band in bands:
            found[row : row + len(band)] = band
        height, width = found.shape
        log.info("%s: glands mapped on %d x %d cells.", slide.slide, height, width)
        return {"cell_um": store.attrs["mpp"] * cell_px}

    visit(glands, shard, work, upstream=[tiles.parent])


if __name__ == "__main__":
    run(map_glands, globals().get("snakemake"))
