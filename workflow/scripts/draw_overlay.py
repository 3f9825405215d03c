"""Draw the heatmap of each slide over its thumbnail."""

import json
import logging
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.maps.overlays import blend, lay_heatmap, legend, outline
from workflow.lib.report.pictures import draw_slide
from workflow.lib.tiles.stores import Tiles, open_group

log = logging.getLogger(__name__)

MIN_SIDE_PX = 640  # px; below this the words of the legend do not fit


def draw_overlay(
    tiles: Path,
    tissue: Path,
    heatmaps: Path,
    overlays: Path,
    *,
    shard: Shard,
    max_side_px: int,
) -> None:
    """Write a picture of each heatmap on its slide, with the outline of the tissue and a legend.

    The picture is as large as the finer of thumbnail and heatmap, up to `max_side_px`.
    """

    def work(slide: Slide, folder: Path) -> dict:
        seen, stitched = tissue.parent / slide.slide, heatmaps.parent / slide.slide
        facts = manifest(stitched)["facts"]
        size_px0 = np.array([facts["height_px0"], facts["width_px0"]])
        with Image.open(seen / "thumbnail.jpg") as image:
            thumbnail = np.asarray(image.convert("RGB"))
        with Image.open(seen / "tissue.png") as image:
            mask = np.asarray(image) > 0
        finest = max(*thumbnail.shape[:2], *facts["shape"], MIN_SIDE_PX)
        side_px = min(max_side_px, finest)
        height, width = (
            int(n) for n in np.maximum(1, np.rint(size_px0 * side_px / size_px0.max()))
        )
        placed = lay_heatmap(open_group(stitched / "heatmap.ome.zarr"), (height, width), facts)
        store = Tiles(tiles.parent / slide.slide / "tiles.zarr")
        picture = draw_slide(thumbnail, store, max_side_px=side_px)
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
        drawn = outline(blend(picture, placed), mask)
        um_per_px = float(size_px0[1] / width * facts["mpp"] / facts["scale_px0"])
        shown = {"name": facts["class"], "quantity": facts["quantity"]}
        strip = legend(width, um_per_px=um_per_px, **shown)
        overlay = Image.fromarray(np.concatenate([drawn, strip]))
        overlay.save(folder / "overlay.jpg", quality=90, subsampling=0)
        log.info("%s: drawn as %d x %d px.", slide.slide, *overlay.size)
        return {"width_px": overlay.width, "height_px": overlay.height, "um_per_px": um_per_px}

    stitched = json.loads(heatmaps.read_text())["units"]
    made_from = [tiles.parent, tissue.parent, heatmaps.parent]
    visit(overlays, shard, work, upstream=made_from, only=stitched)


if __name__ == "__main__":
    run(draw_overlay, globals().get("snakemake"))
