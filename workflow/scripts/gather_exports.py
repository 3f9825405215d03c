"""Lay the files of all slides out as the folder that a program is pointed to."""

import logging
import os
import shutil
from pathlib import Path

from workflow.lib.exports.layouts import file_places
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.units import usable

log = logging.getLogger(__name__)

METHODICAL = ("heatmaps", "asap_polygons")  # stages with a folder per method


def gather_exports(units: list[Path], exports: Path, *, shard: Shard, program: str) -> None:
    """Link the files of every usable slide into the folder of `program`, under names of slides.

    units: indices of the stages whose files are gathered. Links cost no space; where the file
    system has none, files are copied.
    """
    names = [slide.slide for slide in shard.slides]
    folders = sorted({index.parent for index in units})
    sources = [folder / slide for folder in folders for slide in usable(folder, names)]

    def work(folder: Path) -> dict:
        count = 0
        for source in sources:
            for file, place in file_places(program, _stage(source.parent)).items():
                target = folder / place.format(slide=source.name)
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(source / file, target)
                count += 1
        log.info("%s: %d files of %d slides.", program, count, len({s.name for s in sources}))
        return {"program": program, "n_files": count}

    commit(exports, shard, work, upstream=sources)


def _stage(folder: Path) -> tuple[str, ...]:
    """The names of a stage: its kind, and the method where it has one."""
    names = (folder.parent.name, folder.name)
    return names if names[0] in METHODICAL else names[1:]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


if __name__ == "__main__":
    run(gather_exports, globals().get("snakemake"))
