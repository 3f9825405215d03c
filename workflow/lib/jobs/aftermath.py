"""What is left when a run ends: which jobs failed and why, which slides, what stands."""

import contextlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from workflow.lib.jobs.damage import walk_results
from workflow.lib.jobs.drafts import is_full
from workflow.lib.jobs.errors import catalogue

STOPPED = re.compile(
    r"^\S+ \S+ ERROR Stopped: (E_[A-Z_]+): (.*?)\s*(?=^Traceback |^\d{4}-\d\d-\d\d |\Z)",
    re.MULTILINE | re.DOTALL,
)
FOLD = re.compile(r"fold\d+")
SHOWN = 10  # jobs, lines of each, and slides that are told one by one
PROBLEMS = {
    code: problem for problems in catalogue().values() for code, problem in problems.items()
}


class Failure(NamedTuple):
    """A job that failed: its rule, what it says of itself (lines), and the log that has it all."""

    rule: str
    code: str
    sentence: str
    log: str


def read_failure(rule: str, log: Path) -> Failure:
    """Why a job failed, of its log; one that says nothing had no room to say it, or was killed."""
    try:
        said = STOPPED.findall(log.read_text(errors="replace"))
    except OSError:
        said = []
    if said:
        return Failure(rule, *said[-1], str(log))
    code = "E_DISK" if is_full(log.parent) else "E_KILLED"
    return Failure(rule, code, PROBLEMS[code].meaning, str(log))


def tell_failures(failures: Iterable[Failure]) -> list[str]:
    """A line per failed job, then what to do about each code."""
    failures = list(failures)
    lines = ["What failed:"]
    for rule, code, sentence, log in failures[:SHOWN]:
        first, *more = sentence.splitlines()
        lines.append(f"  {rule}: {code}: {first} ({log})")
        lines += [f"    {line}" for line in more[:SHOWN]]
        if len(more) > SHOWN:
            lines.append(f"    and {len(more) - SHOWN} more lines, in its log")
    if len(failures) > SHOWN:
        lines.append(f"  and {len(failures) - SHOWN} more jobs")
    return lines + tell_remedies(failure.code for failure in failures)


def tell_slides(results: Path, *, standing: bool) -> list[str]:
    """A line per slide that was put aside, and what to do; where wished, how much of what stands.

    Only indices are read, and manifests of slides that are told or that no index lists.
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
    """Stage, in the order of making -> slide -> verdict and unit, for the units that are there.

    A stage is a folder with a unit per slide, those of its folds together; where one fold put a
    slide aside, that counts. A job that failed has units and no index.
    """
    units, _, indices, _ = walk_results(results)
    listed = {}
    for index in indices:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # verify tells of it
            content = _read(index)
            if index.stem not in content["units"] or index.stem in content["recipe"]["slides"]:
                for name, record in content["units"].items():
                    listed[index.parent / name] = (index.stat().st_mtime, record["verdict"])
    slides, made = {unit.name for unit in listed}, []
    for unit in units:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if unit in listed:
                made.append((*listed[unit], unit))
            elif unit.name in slides:
                record = unit / "manifest.json"
                made.append((record.stat().st_mtime, _read(record)["verdict"], unit))
    stages = defaultdict(dict)
    for _, verdict, unit in sorted(made):
        parts = unit.parent.relative_to(results).parts
        stage = stages["/".join(part for part in parts if not FOLD.fullmatch(part))]
        if stage.get(unit.name, ("ok",))[0].startswith("ok"):
            stage[unit.name] = (verdict, unit)
    return dict(stages)


def _read(file: Path) -> dict:
    return json.loads(file.read_text())


def _sentence(unit: Path) -> str:
    try:
        return _read(unit / "manifest.json")["sentence"]
    except (OSError, ValueError, KeyError):
        return "its manifest is damaged"
