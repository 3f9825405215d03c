"""Audit what may never cross a fold, and stop the study when something does."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from workflow.lib.cohort.ancestry import Ancestry
from workflow.lib.cohort.audit import (
    COLUMNS,
    check_patients,
    check_sites,
    check_tested,
    check_twins,
    refuse,
)
from workflow.lib.cohort.audit_models import Result, check_models, check_results, check_sources
from workflow.lib.cohort.twins import Look, find_twins, look
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import usable

log = logging.getLogger(__name__)


def audit_folds(
    splits: Path,
    tissue: list[Path],
    judged: list[Path],
    bag_scores: list[Path] | None,
    clustered: list[Path],
    audit: Path,
    *,
    shard: Shard,
    group_by: str,
    hash_distance: int,
    correlation: float,
) -> None:
    """Write one row per check; fail, naming what was found, when anything crosses a fold.

    judged: indices of scores, refined masks and heatmaps, which numbers about slides are made of
    bag_scores: those of slides as bags; the ones of test slides are such numbers too
    clustered: those of assignments and probes, which numbers about clusters are made of
    """
    rows, ancestry = read_table(splits), Ancestry(splits.parent)
    patients = {slide.slide: slide.patient for slide in shard.slides}
    looks = dict(_looks(tissue[0].parent, patients))
    twins = find_twins(looks, hash_distance=hash_distance, correlation=correlation)
    tested = {(int(row["fold"]), row["slide"]) for row in rows if row["split"] == "test"}
    bags = ancestry.listed(bag_scores or ())
    judging = ancestry.listed(judged)
    judging += [bag for bag in bags if (ancestry.fold(bag), bag.name) in tested]
    others = ancestry.listed(clustered)
    results = [_result(ancestry, unit, unit.name) for unit in judging]
    results += [_result(ancestry, unit, None) for unit in others]
    models = {model for result in results for model in result.models}
    judges = {model.name for result in results if result.slide for model in result.models}
    lost = {ancestry.name(unit): ancestry.lost(unit) for unit in ancestry.behind(judging + others)}
    checks = [check_patients(rows, patients)]
    if group_by == "site":
        sites = {slide.slide: slide.site for slide in shard.slides}
        checks.append(check_sites(rows, sites))
    checks += [
        check_tested(rows),
        check_twins(twins, rows, patients, seen=len(looks)),
        check_models(models, rows, patients, judges),
        check_results(results, rows),
        check_sources(lost),
    ]
    refuse(checks)
    write_table(audit, COLUMNS, (check.row() for check in checks))
    for check in checks:
        log.info(check.row()["sentence"])


def _result(ancestry: Ancestry, unit: Path, slide: str | None) -> Result:
    """A unit, the slide that it judges, if any, and the models behind it."""
    models = [ancestry.model(model) for model in ancestry.models(unit)]
    return Result(ancestry.name(unit), slide, ancestry.fold(unit), models)


def _looks(tissue: Path, slides: Iterable[str]) -> Iterator[tuple[str, Look]]:
    """What the slides with enough tissue look like."""
    for slide in usable(tissue, slides):
        with (
            Image.open(tissue / slide / "thumbnail.jpg") as thumbnail,
            Image.open(tissue / slide / "tissue.png") as mask,
        ):
            seen = look(np.asarray(thumbnail.convert("RGB")), np.asarray(mask) > 0)
        if seen is not None:
            yield slide, seen


if __name__ == "__main__":
    run(audit_folds, globals().get("snakemake"))
