"""Open every slide of a shard and say whether it can be used."""

import logging
from pathlib import Path

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.verdicts import OK, REMEDIES, Quarantine
from workflow.lib.slides.probe import probe
from workflow.lib.slides.staging import staged

log = logging.getLogger(__name__)


def check_slide(
    checks: Path,
    *,
    shard: Shard,
    check_timeout_s: float,
    check_memory_mb: int,
    scratch: Path | None,
    max_side_px0: int,
    mpp_min: float,
    mpp_max: float,
    max_bad_tiles: float,
    allow_fluorescence: bool,
) -> None:
    """Write what each slide is (size, mpp, levels, warnings) or why it is quarantined.

    Every slide is opened in a process of its own with `check_timeout_s` seconds and
    `check_memory_mb` MB, so that a damaged file can end only itself. `max_bad_tiles` is a
    share of the tiles that are tried.
    """

    def work(slide: Slide, folder: Path) -> dict:
        with staged(slide.path, scratch) as file:
            found = probe(
                file,
                mpp=slide.mpp,
                sha256=slide.sha256,
                timeout_s=check_timeout_s,
                memory_mb=check_memory_mb,
                max_side_px0=max_side_px0,
                mpp_min=mpp_min,
                mpp_max=mpp_max,
                max_bad_tiles=max_bad_tiles,
                allow_fluorescence=allow_fluorescence,
            )
        if found["verdict"] != OK:
            log.warning("%s is put aside. %s", slide.slide, REMEDIES[found["verdict"]])
            raise Quarantine(found["verdict"], found["sentence"])
        facts = found["facts"]
        log.info(
            "%s: %d x %d px at %.4g um, levels: %d.",
            slide.slide,
            facts["width_px0"],
            facts["height_px0"],
            facts["mpp"],
            len(facts["levels"]),
        )
        for warning in facts["warnings"]:
            log.warning("%s: %s", slide.slide, warning)
        return facts

    visit(checks, shard, work)


if __name__ == "__main__":
    run(check_slide, globals().get("snakemake"))
