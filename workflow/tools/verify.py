"""Recheck every file of a study: `python -m workflow.tools.verify results/demo`.

Prints one line per damaged, missing or unknown file, and per result that an index lists and that is
not there; then which rule made it of which slide or model. With `--repair`, followed by the
arguments that Snakemake is run with, what is damaged is removed and made again, nothing else:

    python -m workflow.tools.verify results/mine --repair --cores 2 --configfile my-study.yaml

Exits with 0 when all is whole, with 1 when something is damaged (and was not repaired), with 2 when
a repair was refused because a run is at work or Snakemake cannot use the config.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from workflow.lib.jobs.damage import Damage, find_damage, unlisted
from workflow.tools.repair import Refusal, repair

SHOWN = 10  # slides or models that are named of a rule


def main(arguments: list[str]) -> int:
    """Check, and repair if that is wished; the exit status says whether all is whole."""
    parser = argparse.ArgumentParser(
        "verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, help="folders such as results/demo")
    parser.add_argument(
        "--repair",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="make again what is damaged in one study; what follows are Snakemake's arguments",
    )
    given = parser.parse_args(arguments)
    for folder in given.results:
        if not folder.is_dir():
            sys.stdout.write(f"{folder}: there is no such folder; run the study first\n")
            return 1
    if given.repair is None:
        return max(_check(folder) for folder in given.results)
    if len(given.results) > 1:
        parser.error("--repair takes one study, because each has its own config")
    return _repair(Path(os.path.relpath(given.results[0])), given.repair)  # as Snakemake writes it


def _check(results: Path) -> int:
    damages = _look(results)
    _advise(results, damages)
    return 1 if damages else 0


def _repair(results: Path, arguments: list[str]) -> int:
    try:
        left = repair(results, _look(results), arguments)
    except Refusal as reason:
        sys.stdout.write(f"Nothing was changed: {reason}\n")
        return 2
    sys.stdout.writelines(f"{sentence}\n" for sentence in left)
    return 1 if _look(results) else 0


def _look(results: Path) -> list[Damage]:
    """All that is damaged, told line by line and then by rule."""
    count, damages = find_damage(results)
    sys.stdout.writelines(f"{damage.sentence}\n" for damage in damages)
    made = defaultdict(set)
    for damage in damages:
        if damage.kind != "foreign":
            made[damage.rule or "no rule that can be told"].add(_name(damage.thing, results))
    for rule, things in sorted(made.items()):
        sys.stdout.write(f"E_DAMAGED: made by {rule}: {_listing(sorted(things))}\n")
    if lost := unlisted(results):
        names = _listing([_name(unit, results) for unit in lost])
        sys.stdout.write(
            f"Listed by no index, because the slide left the sheet or the index was lost (--repair"
            f" tells): {names}\n"
        )
    sys.stdout.write(f"{count} results checked, {len(damages)} problems found.\n")
    return damages


def _advise(results: Path, damages: list[Damage]) -> None:
    if any(damage.kind != "foreign" for damage in damages):
        sys.stdout.write(
            f"Remedy: python -m workflow.tools.verify {results} --repair --cores 2 (with the"
            " --configfile of the study). What is whole is not made again.\n"
        )
    if any(damage.kind == "foreign" for damage in damages):
        sys.stdout.write("Files that no stage wrote are yours to move away; no repair does.\n")


def _name(thing: Path, results: Path) -> str:
    """A unit as stage/slide, as people find it below the results."""
    return thing.relative_to(results).as_posix()


def _listing(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
