"""Write what the classifier says of every place of a slide, a channel per class."""

import logging
from pathlib import Path

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.maps.class_maps import stitch_classes
from workflow.lib.maps.pyramids import write_heatmap, write_ome_tiff
from workflow.lib.report.colours import class_colour
from workflow.lib.tiles.stores import Tiles, open_group

log = logging.getLogger(__name__)


def export_classes(
    tiles: Path,
    scores: list[Path],
    splits: Path,
    class_maps: Path,
    *,
    shard: Shard,
    classes: list[str],
) -> None:
    """Write the class probabilities of each test slide, from the fold that did not train on it.

    Each is a pyramid as OME-Zarr and as OME-TIFF, a channel per class in the order of the config. A
    tile that could not be read is left out of it.
    """
    stages = {index.parent.name.removeprefix("fold"): index.parent for index in scores}
    tested = {row["slide"]: row["fold"] for row in read_table(splits) if row["split"] == "test"}
    tested = {slide: fold for slide, fold in tested.items() if fold in stages}
    channels = {name: class_colour(index) for index, name in enumerate(classes)}

    def stage(slide: Slide) -> Path:
        return stages[tested[slide.slide]]

    def work(slide: Slide, folder: Path) -> dict:
        store = Tiles(tiles.parent / slide.slide / "tiles.zarr")
        probability = open_group(stage(slide) / slide.slide / "scores.zarr")["probability"][:]
        size, band = stitch_classes(store, probability)
        maps = write_heatmap(
            folder / "classes.ome.zarr",
            [band],
            tuple(size["shape"]),
            mpp=size["mpp"],
            mpp0=size["mpp"] / size["scale_px0"],
            name=slide.slide,
            channels=channels,
        )
        write_ome_tiff(folder / "classes.ome.tif", maps, quantity="probability")
        log.info("%s: %d classes at %d x %d places.", slide.slide, len(classes), *size["shape"])
        return {"fold": int(tested[slide.slide]), "classes": classes} | size

    visit(class_maps, shard, work, upstream=lambda s: [tiles.parent, stage(s)], only=tested)


if __name__ == "__main__":
    run(export_classes, globals().get("snakemake"))
