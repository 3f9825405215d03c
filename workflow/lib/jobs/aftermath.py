"""What is left when a run ends: which jobs failed and why, which slides, what stands."""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from workflow.lib.jobs.damage import walk_results
from workflow.lib.jobs.errors import catalogue

STOPPED = re.compile(r"^\S+ \S+ ERROR Stopped: (E_[A-Z_]+): (.*)$", re.MULTILINE)
FOLD = re.compile(r"fold\d+")
SHOWN = 10  # jobs, and slides, that are told one by one
PROBLEMS = {
    code: problem for problems in catalogue().values() for code, problem in problems.items()
}


class Failure(NamedTuple):
    """A job that failed: its rule, what it says of itself, and the log that has it all."""

    rule: str
    code: str
    sentence: str
    log: str


def read_failure(rule: str, log: Path) -> Failure:
    """Why a job failed, of its log; one that says nothing was killed."""
    try:
        said = STOPPED.findall(log.read_text(errors="replace"))
    except OSError:
        said = []
    code, sentence = said[-1] if said else ("E_KILLED", PROBLEMS["E_KILLED"].meaning)
    return Failure(rule, code, sentence, str(log))


def tell_failures(failures: Iterable[Failure]) -> list[str]:
    """A line per failed job, then what to do about each code."""
    failures = list(failures)
    lines = ["What failed:"]
    lines += [f"  {f.rule}: {f.code}: {f.sentence} ({f.log})" for f in failures[:SHOWN]]
    if len(failures) > SHOWN:
        lines.append(f"  and {len(failures) - SHOWN} more jobs")
    return lines + tell_remedies(failure.code for failure in failures)


def tell_slides(results: Path, *, standing: bool) -> list[str]:
    """A line per slide that was put aside, and what to do; where wished, how much of what stands.

    Only the indices are read, and one manifest per slide that is told.
    """
    stages = _stages(results)
    slides = set().union(*stages.values())
    aside: dict[str, tuple[str, Path]] = {}
    for units in stages.values():
        bad = {slide: told for slide, told in units.items() if not told[0].startswith("ok")}
        aside = bad | aside
    lines = []
    if aside:
        lines.append(f"Slides put aside, {len(aside)} of {len(slides)}:")
        for slide, (code, unit) in sorted(aside.items())[:SHOWN]:
            lines.append(f"  {slide}: {code}: {_sentence(unit)}")
        if len(aside) > SHOWN:
            lines.append(f"  and {len(aside) - SHOWN} more, in {results / 'verdicts.tsv'}")
        lines += tell_remedies(code for code, _ in aside.values())
    if standing and stages:
        lines.append(f"What stands in {results}, of {len(slides)} slides:")
        for stage, units in stages.items():
            count = sum(verdict.startswith("ok") for verdict, _ in units.values())
            lines.append(f"  {stage}: {count}")
    return lines


def tell_remedies(codes: Iterable[str]) -> list[str]:
    """What to do about each of some codes, once; nothing about one of another version."""
    known = sorted(set(codes) & set(PROBLEMS))
    return [f"  What to do, {code}: {PROBLEMS[code].remedy}" for code in known]


def _stages(results: Path) -> dict[str, dict[str, tuple[str, Path]]]:
    """Stage, in the order of making -> slide -> verdict and unit; of folds, one that put it aside.

    A stage is a folder with a unit per slide, those of its folds together.
    """
    found, made = defaultdict(dict), {}
    _, _, indices, _ = walk_results(results)
    for index in indices:
        parts = index.parent.relative_to(results).parts
        stage = "/".join(part for part in parts if not FOLD.fullmatch(part))
        try:
            content = json.loads(index.read_text())
            units = {name: record["verdict"] for name, record in content["units"].items()}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no index, or a damaged one: verify says so
        if index.stem not in units or index.stem in content["recipe"]["slides"]:
            known = {slide: (verdict, index.parent / slide) for slide, verdict in units.items()}
            bad = {slide for slide, (verdict, _) in found[stage].items() if verdict[:2] != "ok"}
            found[stage] |= {slide: told for slide, told in known.items() if slide not in bad}
            made[stage] = min(made.get(stage, math.inf), index.stat().st_mtime)
    return {stage: found[stage] for stage in sorted(found, key=lambda stage: made[stage])}


def _sentence(unit: Path) -> str:
    try:
        return json.loads((unit / "manifest.json").read_text())["sentence"]
    except (OSError, ValueError, KeyError):
        return "its manifest is damaged"
