"""Audit what may never cross a fold, and stop the study when something does."""

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from workflow.lib.ancestry import Ancestry, fold_of
from workflow.lib.audit import (
    COLUMNS,
    check_patients,
    check_sites,
    check_tested,
    check_twins,
    refuse,
)
from workflow.lib.audit_models import Result, check_models, check_results, check_sources
from workflow.lib.job import run
from workflow.lib.shard import Shard
from workflow.lib.tables import read_table, write_table
from workflow.lib.twins import Look, find_twins, look
from workflow.lib.units import manifest, usable

log = logging.getLogger(__name__)


def audit_folds(
    splits: Path,
    tissue: list[Path],
    judged: list[Path],
    clustered: list[Path],
    audit: Path,
    *,
    shard: Shard,
    group_by: str,
    hash_distance: int,
    correlation: float,
) -> None:
    """Write one row per check; fail, naming all that was found, when anything crosses a fold.

    judged: indices of scores, refined masks and heatmaps, which numbers about slides are made of
    clustered: those of assignments and probes, which numbers about clusters are made of
    """
    rows, ancestry = read_table(splits), Ancestry(splits.parent)
    patients = {slide.slide: slide.patient for slide in shard.slides}
    looks = dict(_looks(tissue[0].parent, patients))
    twins = find_twins(looks, hash_distance=hash_distance, correlation=correlation)
    units = {kind: _units(found) for kind, found in (("judged", judged), ("rest", clustered))}
    behind = {kind: set().union(*map(ancestry.models, found)) for kind, found in units.items()}
    judging = {ancestry.name(model) for model in behind["judged"]}
    models = set().union(*behind.values())
    visited = {*units["judged"], *units["rest"], *models}
    checks = [check_patients(rows, patients)]
    if group_by == "site":
        sites = {slide.slide: slide.site for slide in shard.slides}
        checks.append(check_sites(rows, sites))
    checks += [
        check_tested(rows),
        check_twins(twins, rows, patients, seen=len(looks)),
        check_models(map(ancestry.model, models), rows, patients, judging),
        check_results([_result(ancestry, unit) for unit in units["judged"]], rows),
        check_sources({ancestry.name(unit): ancestry.lost(unit) for unit in visited}),
    ]
    refuse(checks)
    write_table(audit, COLUMNS, (check.row() for check in checks))
    for check in checks:
        log.info(check.row()["sentence"])


def _units(indices: Iterable[Path]) -> list[Path]:
    """The units that indices list and that are not quarantined."""
    listed = {
        index.parent / name for index in indices for name in json.loads(index.read_text())["units"]
    }
    return sorted(unit for unit in listed if manifest(unit)["verdict"].startswith("ok"))


def _result(ancestry: Ancestry, unit: Path) -> Result:
    """A unit of a slide; that of a heatmap says itself which fold it is of."""
    fold = fold_of(unit.parent)
    if fold is None:
        fold = manifest(unit)["facts"]["fold"]
    models = [ancestry.model(model) for model in ancestry.models(unit)]
    return Result(ancestry.name(unit), unit.name, fold, models)


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
