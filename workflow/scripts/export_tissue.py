"""Write the tissue of each slide as polygons that can be corrected in QuPath and given back."""

import logging
from pathlib import Path

import numpy as np
import shapely
from PIL import Image

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.maps.polygons import find_regions, write_geojson

log = logging.getLogger(__name__)

CLASS = {"name": "Tissue", "color": [0, 158, 115]}


def export_tissue(checks: Path, tissue: Path, tissue_polygons: Path, *, shard: Shard) -> None:
    """Write tissue.geojson.gz of each slide: its mask, along pixel corners, in level-0 px (x, y).

    The column `tissue` of the sheet reads the file back as exactly the mask that it was made from.
    """

    def work(slide: Slide, folder: Path) -> dict:
        facts = manifest(checks.parent / slide.slide)["facts"]
        mask = np.asarray(Image.open(tissue.parent / slide.slide / "tissue.png")) > 0
        steps = np.array([facts["width_px0"], facts["height_px0"]]) / mask.shape[::-1]
        regions = find_regions(mask.astype(np.float32), mask, min_pixels=1, simplify_px=0)
        features = [
            {
                "type": "Feature",
                "geometry": shapely.geometry.mapping(
                    shapely.transform(region.polygon, lambda xy: (xy * steps).round(2))
                ),
                "properties": {"objectType": "annotation", "classification": CLASS},
            }
            for region in regions
        ]
        write_geojson(folder / "tissue.geojson.gz", features)
        log.info("%s: pieces of tissue: %d.", slide.slide, len(features))
        return {"pieces": len(features)}

    visit(tissue_polygons, shard, work, upstream=[checks.parent, tissue.parent])


if __name__ == "__main__":
    run(export_tissue, globals().get("snakemake"))
