"""Write the features of each slide as other programs read them."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.exports.feature_files import (
    Geometry,
    write_stamp,
    write_tensor,
    write_trident,
)
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import Tiles, open_group

log = logging.getLogger(__name__)

BLOCK = 1 << 14  # features read at once
MEASURES = ("mpp", "scale", "tile_px", "stride_px", "width_px0", "height_px0")


def export_features(
    tiles: Path, features: Path, feature_files: Path, *, shard: Shard, formats: list[str]
) -> None:
    """Write the files of `formats` for every slide; one without tiles has files of no rows."""

    def work(slide: Slide, folder: Path) -> dict:
        store = Tiles(tiles.parent / slide.slide / "tiles.zarr")
        group = open_group(features.parent / slide.slide / "features.zarr")
        rows, encoder = group["features"], group.attrs["encoder"]

        def blocks() -> Iterator[np.ndarray]:
            for start in range(0, rows.shape[0], BLOCK):
                yield rows[start : start + BLOCK]

        geometry = Geometry(**{name: store.attrs[name] for name in MEASURES})
        about = {"dimension": rows.shape[1], "encoder": encoder}
        where = (store.origins, geometry)
        if {"trident", "clam"} & set(formats):
            write_trident(folder / "trident.h5", blocks(), *where, slide=slide.slide, **about)
        if "clam" in formats:
            write_tensor(folder / "clam.pt", rows[:])
        if "stamp" in formats:
            made_by = manifest(features.parent / slide.slide)["recipe"][:16]
            write_stamp(folder / "stamp.h5", blocks(), *where, recipe=made_by, **about)
        log.info("%s: features of %d tiles as %s.", slide.slide, len(store), ", ".join(formats))
        return {"tiles": len(store), "dim": rows.shape[1], "bad": int(store.bad.sum())}

    visit(feature_files, shard, work, upstream=[tiles.parent, features.parent])


if __name__ == "__main__":
    run(export_features, globals().get("snakemake"))
