"""Recheck every file of a study: `python -m workflow.tools.verify results/demo`.

Prints one line per damaged, missing or unknown file and exits with 1 when there is any.
"""

import argparse
import hashlib
import json
import shlex
import sys
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
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    sys.stdout.write(f"{count} results checked, {len(problems)} problems found.\n")
    if damaged:
        units = [str(record.parent) for record in damaged if record.name == "manifest.json"]
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
