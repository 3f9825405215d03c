"""Write the polygons of each heatmap for ASAP."""

import gzip
import json
import logging
from pathlib import Path

import shapely

from workflow.lib.cohort.sheet import Slide
from workflow.lib.exports.asap import write_asap
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.report.colours import class_colour, hex_colour

log = logging.getLogger(__name__)


def export_polygons(
    heatmaps: Path, asap_polygons: Path, *, shard: Shard, classes: list[str]
) -> None:
    """Write polygons.xml beside each heatmap that there is, from its GeoJSON polygons."""

    def work(slide: Slide, folder: Path) -> dict:
        source = heatmaps.parent / slide.slide
        name = manifest(source)["facts"]["class"]
        colour = class_colour(classes.index(name) if name in classes else 1)
        drawn = json.loads(gzip.decompress((source / "polygons.geojson.gz").read_bytes()))
        polygons = [shapely.geometry.shape(one["geometry"]) for one in drawn["features"]]
        write_asap(folder / "polygons.xml", polygons, name=name, colour=hex_colour(colour))
        log.info("%s: %d polygons.", slide.slide, len(polygons))
        return {"polygons": len(polygons)}

    stitched = json.loads(heatmaps.read_text())["units"]
    visit(asap_polygons, shard, work, upstream=[heatmaps.parent], only=stitched)


if __name__ == "__main__":
    run(export_polygons, globals().get("snakemake"))
