"""Recheck every file of a study: `python -m workflow.tools.verify results/demo`.

Prints one line per damaged, missing or unknown file, and per result that an index lists and that is
not there, and exits with 1 when there is any.
"""

import argparse
import hashlib
import json
import os
import shlex
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm


def main() -> int:
    """Check the studies named on the command line; the exit status says whether they are whole."""
    parser = argparse.ArgumentParser(prog="verify", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="folders such as results/demo")
    problems, damaged, count = [], {}, 0
    for results in parser.parse_args().results:
        if not results.is_dir():
            problems.append(f"{results}: there is no such folder; run the study first")
            continue
        found = sorted(results.rglob("manifest.json")) + sorted(results.rglob(".*.recipe.json"))
        found = [file for file in found if not any(p.endswith(".draft") for p in file.parts)]
        with ThreadPoolExecutor() as pool:
            bar = {"total": len(found), "desc": "verify", "disable": None}
            for record, faults in zip(found, tqdm(pool.map(check, found), **bar), strict=True):
                problems += faults
                if faults:
                    damaged[record] = rule_of(record)
        count += len(found)
        lost = lost_units(results)
        problems += [sentence for sentence, _ in lost.values()]
        damaged |= {record: rule for record, (_, rule) in lost.items()}
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    sys.stdout.write(f"{count} results checked, {len(problems)} problems found.\n")
    if damaged:
        made = [file for file in damaged if file.name == "manifest.json" and file.is_file()]
        units = [str(record.parent) for record in made]
        remove = f"rm -r {shlex.join(units)}; " if units else ""
        rules = " ".join(sorted(set(damaged.values())))
        sys.stdout.write(
            f"Remedy: {remove}snakemake --cores 2 -R {rules} (with the --configfile of the study). "
            "What is whole is not made again.\n"
        )
    return 1 if problems else 0


def rule_of(record: Path) -> str:
    """The rule that made a result; where its record is torn, the check that all follows from."""
    try:
        content = json.loads(record.read_text())
        return content.get("made_from", content.get("recipe"))["rule"]
    except (OSError, ValueError, TypeError, KeyError):
        return "check_slide"


def lost_units(results: Path) -> dict[Path, tuple[str, str]]:
    """Manifests that are not as any index lists them -> what is wrong, the rule that makes them.

    Snakemake sees the indices alone, so it would never make a lost unit again by itself. An index
    of an earlier grouping into shards may lie beside the current one; a unit may be as either says.
    """
    listed: dict[Path, list[tuple[dict, str]]] = defaultdict(list)
    lost = {}
    for index in indices(results):
        try:
            content = json.loads(index.read_text())
            units, rule = content.get("units", {}), content.get("rule", "check_slide")
        except (OSError, ValueError, AttributeError) as error:
            lost[index] = (f"{index}: cannot be read ({error})", "check_slide")
            continue
        for name, record in units.items():
            listed[index.parent / name / "manifest.json"].append((record, rule))
    for manifest, records in sorted(listed.items()):
        rule = records[-1][1]
        again = f"run again with -R {rule}, or delete the index that lists it"
        try:
            found = json.loads(manifest.read_text())
        except FileNotFoundError:
            lost[manifest] = (f"{manifest.parent}: is missing; {again}", rule)
            continue
        except (OSError, ValueError):
            continue  # `check` says so
        if all({key: found.get(key) for key in record} != record for record, _ in records):
            sentence = f"{manifest.parent}: is not the result that its index lists; {again}"
            lost[manifest] = (sentence, rule)
    return lost


def indices(results: Path) -> Iterator[Path]:
    """The JSON files of a study that lie in no unit."""
    for folder, folders, files in os.walk(results):
        if "manifest.json" in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.endswith(".json") and not name.startswith(".") and name != "identities.json":
                yield Path(folder, name)


def check(record: Path) -> list[str]:
    """What is wrong with the files that one manifest (or one table's sidecar) vouches for."""
    try:
        files = json.loads(record.read_text())["files"]
    except (OSError, ValueError, KeyError) as error:
        return [f"{record}: cannot be read ({error})"]
    if record.name != "manifest.json":
        return _compare(record.parent, files)
    present = {
        file.relative_to(record.parent).as_posix()
        for file in record.parent.rglob("*")
        if file.is_file() and file != record
    }
    unknown = sorted(present - set(files))
    return _compare(record.parent, files) + [
        f"{record.parent / name}: is not in the manifest" for name in unknown
    ]


def _compare(folder: Path, files: dict[str, dict]) -> list[str]:
    problems = []
    for name, expected in files.items():
        file = folder / name
        if not file.is_file():
            problems.append(f"{file}: is missing")
        elif file.stat().st_size != expected["bytes"]:
            problems.append(
                f"{file}: has {file.stat().st_size} bytes instead of {expected['bytes']}"
            )
        else:
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != expected["sha256"]:
                    problems.append(f"{file}: its bytes changed")
    return problems


if __name__ == "__main__":
    sys.exit(main())
