"""Make damaged results again, and nothing else: what `workflow.tools.verify --repair` does.

Snakemake is run for the indices that list the damaged units, and for damaged tables; what lies
between them in the graph is left out. The stages find the other units of those indices whole.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from workflow.lib.jobs.damage import Damage, unlisted
from workflow.lib.jobs.drafts import draft_of, is_elsewhere
from workflow.tools.resume import jobs_at_work
from workflow.tools.run import farewell, typed, watch


class Output(NamedTuple):
    """What Snakemake knows of a file: the rule that makes it, and whether it is there."""

    rule: str
    there: bool


class Refusal(Exception):
    """A repair that must not begin; the sentence says why, and what to do."""


def repair(results: Path, damages: list[Damage], arguments: list[str]) -> list[str]:
    """Remove the damaged units and have them made again; sentences on what was left alone.

    arguments: Snakemake's, such as the cores and the config of the study. Raises Refusal when
    somebody else writes into the folder, when Snakemake cannot use the config, and when a unit
    lies outside `results`.
    """
    if busy := writers(Path.cwd(), results):
        raise Refusal(busy)
    made = _outputs(arguments)
    if not any(Path(output).is_relative_to(results) for output in made):
        raise Refusal(f"this config makes nothing in {results}; name the study's with --configfile")
    damages = [  # an output without its sidecar is no stranger
        damage._replace(kind="table") if str(damage.thing) in made else damage for damage in damages
    ]
    left = [damage.sentence for damage in damages if damage.kind == "foreign"]
    foreign = {damage.thing for damage in damages if damage.kind == "foreign"}
    kinds = {damage.thing: damage.kind for damage in damages if damage.thing not in foreign}
    targets, units = set(), []
    for thing, kind in sorted(kinds.items()):
        found = _targets(thing, kind, made, set(kinds))
        if not found:
            left.append(
                f"{thing}: this config makes it in no run; if it is not needed any more, remove it"
                f" and the index {thing.name}.json beside it"
            )
        elif kind == "unit":
            units.append(thing)
        targets |= found
    targets |= _lost_outputs(results, made)
    for unit in units:
        _inside(unit, results)
    for unit in units:
        _remove(unit)
    if targets:
        _make({target: made[target].rule for target in sorted(targets)}, results, arguments)
    return [f"Left alone: {sentence}" for sentence in left]


def writers(folder: Path, results: Path) -> str | None:
    """Who may still write into the results of a study that is run in `folder`; None if nobody."""
    if found := jobs_at_work(folder):
        numbers = ", ".join(map(str, found))
        return f"processes {numbers} are at work here; wait for them, or end them, and come again"
    if any(Path(folder, ".snakemake/locks").glob("*")):
        return (
            "a run holds the lock of this folder and is not on this machine. If none is at work"
            " anywhere, unlock it with: snakemake --unlock (and the --configfile)"
        )
    for draft in results.rglob(".*.draft"):
        if is_elsewhere(draft):
            return (
                f"another machine or container writes {draft}; if it does not any more, remove that"
                " folder"
            )
    return None


def _outputs(arguments: list[str]) -> dict[str, Output]:
    """Every output of the study's jobs, as Snakemake has it: to the report, and of exports."""
    done = subprocess.run(  # noqa: S603 - the arguments are the user's own
        [sys.executable, "-m", "snakemake", "--summary", *arguments, "--", "all", "export"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Refusal(f"Snakemake cannot use what it was given:\n{done.stderr.strip()}")
    rows = [line.split("\t") for line in done.stdout.splitlines() if line.count("\t") >= 5]
    return {row[0]: Output(row[2], row[-2] != "missing") for row in rows if row[0] != "output_file"}


def _targets(thing: Path, kind: str, made: dict[str, Output], damaged: set[Path]) -> set[str]:
    """The outputs whose jobs make `thing` again: itself, or the indices that list a unit."""
    if kind != "unit":
        return {str(thing)} & set(made)
    own = f"{thing}.json"
    if own in made:
        return {own}
    beside = {file for file in made if Path(file).parent == thing.parent and file.endswith(".json")}
    listing = {file for file in beside if thing.name in _listed(Path(file))}
    return listing or {file for file in beside if Path(file) in damaged or not made[file].there}


def _listed(index: Path) -> dict:
    try:
        return json.loads(index.read_text())["units"]
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _lost_outputs(results: Path, made: dict[str, Output]) -> set[str]:
    """Outputs that are missing though units of theirs, or the report made of them, are there.

    An export that is not there was not asked for, unless units of it are.
    """
    stages = {unit.parent for unit in unlisted(results)}
    reported = (results / "report.html").is_file()
    return {
        file
        for file, output in made.items()
        if not output.there
        and (Path(file).parent in stages or (reported and "export" not in output.rule))
    }


def _inside(unit: Path, results: Path) -> None:
    """Raise Refusal unless `unit` is a folder of its own, or nothing, below `results`."""
    place, home = unit.resolve(), results.resolve()
    if unit.is_symlink() or home not in place.parents or (unit.exists() and not unit.is_dir()):
        raise Refusal(f"{unit} is no folder inside {results} but {place}; repair it by hand")


def _remove(unit: Path) -> None:
    """Take a unit away: out of sight at once, under a name that a later job would clear up."""
    if unit.exists():
        draft = draft_of(unit)
        os.rename(unit, draft)
        shutil.rmtree(draft)


def _make(targets: dict[str, str], results: Path, arguments: list[str]) -> None:
    """Run the jobs of `targets` (output -> rule) and no other.

    A target that comes out as it was keeps its time, so that nothing that follows is stale.
    """
    before = {file: _content(Path(file)) for file in targets}
    only = ["--allowed-rules", *sorted(set(targets.values())), "--forcerun", *targets, "--"]
    seen, status = watch([*arguments, *only, *targets])
    if status:
        again = typed(
            ["python", "-m", "workflow.tools.verify", str(results), "--repair", *arguments]
        )
        sys.stderr.writelines(f"{line}\n" for line in farewell(seen, status, again))
    for file, known in before.items():
        now = _content(Path(file))
        if known and now and known[0] == now[0]:
            os.utime(file, ns=(now[1], known[1]))


def _content(file: Path) -> tuple[bytes, int] | None:
    try:
        return file.read_bytes(), file.stat().st_mtime_ns
    except OSError:
        return None
