"""Lay the files of all slides out as the folder that a program is pointed to."""

import logging
import os
import shutil
from pathlib import Path

from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.units import manifest, usable

log = logging.getLogger(__name__)

PLACES = {  # of each program: file of a unit -> where the program looks for it
    "trident": {"trident.h5": "{slide}.h5"},
    "clam": {"trident.h5": "h5_files/{slide}.h5", "clam.pt": "pt_files/{slide}.pt"},
    "stamp": {"stamp.h5": "{slide}.h5"},
    "qupath": {
        "tiles.geojson.gz": "tiles/{slide}.geojson.gz",
        "polygons.geojson.gz": "{method}/{slide}.geojson.gz",
        "heatmap.ome.tif": "{method}/{slide}.ome.tif",
        "classes.ome.tif": "classes/{slide}.ome.tif",
    },
    "tissue": {"tissue.geojson.gz": "{slide}.geojson.gz"},
    "asap": {"polygons.xml": "{method}/{slide}.xml"},
}


def gather_exports(units: list[Path], exports: Path, *, shard: Shard, program: str) -> None:
    """Link the files of every usable slide into the folder of `program`, under names of slides.

    units: indices of the stages whose files are gathered; a stage of a method is called like it.
    Links cost no space; where the file system has none, files are copied.
    """
    names = [slide.slide for slide in shard.slides]
    folders = sorted({index.parent for index in units})
    sources = [folder / slide for folder in folders for slide in usable(folder, names)]

    def work(folder: Path) -> dict:
        count = 0
        for source in sources:
            for file in sorted(PLACES[program].keys() & manifest(source)["files"].keys()):
                place = PLACES[program][file].format(slide=source.name, method=source.parent.name)
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                _link(source / file, folder / place)
                count += 1
        log.info("%s: %d files of %d slides.", program, count, len({s.name for s in sources}))
        return {"program": program, "n_files": count}

    commit(exports, shard, work, upstream=sources)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    run(gather_exports, globals().get("snakemake"))
