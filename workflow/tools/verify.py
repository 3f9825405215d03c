"""Recheck every file of a study: `python -m workflow.tools.verify results/demo`.

Prints one line per damaged, missing or unknown file and exits with 1 when there is any.
"""

import argparse
import hashlib
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm


def main() -> int:
    """Check the studies named on the command line; the exit status says whether they are whole."""
    parser = argparse.ArgumentParser(prog="verify", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, help="folders such as results/demo")
    problems, count = [], 0
    for results in parser.parse_args().results:
        if not results.is_dir():
            problems.append(f"{results}: there is no such folder; run the study first")
            continue
        found = sorted(results.rglob("manifest.json")) + sorted(results.rglob(".*.recipe.json"))
        found = [file for file in found if not any(p.endswith(".draft") for p in file.parts)]
        with ThreadPoolExecutor() as pool:
            checks = tqdm(
                pool.map(check_file, found), total=len(found), desc="verify", disable=None
            )
            problems += [problem for check in checks for problem in check]
        count += len(found)
    sys.stdout.writelines(f"{problem}\n" for problem in problems)
    sys.stdout.write(f"{count} results checked, {len(problems)} problems found.\n")
    if problems:
        sys.stdout.write(
            "Remedy: delete the folder of each damaged result and the .json files beside that "
            "folder, then run again: only what was deleted is made again.\n"
        )
    return 1 if problems else 0


def check_file(record: Path) -> list[str]:
    """What is wrong with the files that one manifest (or one table's sidecar) vouches for."""
    try:
        content = json.loads(record.read_text())
    except (OSError, ValueError) as error:
        return [f"{record}: cannot be read ({error})"]
    if record.name != "manifest.json":
        return _compare(record.parent, content["files"])
    present = {
        file.relative_to(record.parent).as_posix()
        for file in record.parent.rglob("*")
        if file.is_file() and file != record
    }
    unknown = sorted(present - set(content["files"]))
    return _compare(record.parent, content["files"]) + [
        f"{record.parent / name}: is not in the manifest; delete it" for name in unknown
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
