"""Results for a study to begin with: those of another one that has most of its settings.

A study that begins so runs as if the config of the other had been edited: recipes decide what is
stale, as after any edit, and what is not is not made again. Neither can change the other's results:

* Units are linked, not copied. A unit is committed by one rename and replaced by one, and nobody
  writes into it, so a study that replaces its own leaves the other's alone.
* Indices and identities.json are copied, and tables where their sidecar vouches for their bytes: a
  table is written in place, and that of a killed job is torn. Copies keep their times, by which
  Snakemake sees what was made from what.
* audit.tsv, metrics.tsv, the page and its table of methods are left out. Their recipes do not tell
  which results the config asks for; only the records of Snakemake do, and these stay behind.
* A study that has begun is given nothing: the times of two in one folder would tell nothing.
"""

import json
import os
import shutil
from pathlib import Path

from workflow.lib.jobs.explanation import sidecar
from workflow.lib.jobs.units import checksum

MADE_ANEW = ("audit.tsv", "metrics.tsv", "report.html", "methods.tsv")
KNOWN = "identities.json"  # what is known of the slides' files: all that a dry run leaves


def has_begun(results: Path) -> bool:
    """Whether a folder holds results: it is there, with more than what reading the sheet leaves."""
    return results.is_dir() and any(
        not file.name.removeprefix(".").startswith(KNOWN) for file in results.iterdir()
    )


def begin_with(made: Path | None, results: Path) -> None:
    """Give `results`, a folder that has not begun, what is whole in `made`: all or nothing.

    No other run may be at work on `made`. Raises shutil.Error when a unit vanishes meanwhile.
    """
    if made is None or has_begun(results):
        return
    draft = results.with_name(f".{results.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    for folder, folders, files in os.walk(made):
        place = draft / Path(folder).relative_to(made)
        if "manifest.json" in files:
            folders.clear()
            shutil.copytree(folder, place, copy_function=_link)
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))  # drafts, work
        place.mkdir(parents=True, exist_ok=True)
        for file in (Path(folder, name) for name in sorted(files)):
            if _is_index(file):
                shutil.copy2(file, place)
            elif file.name not in MADE_ANEW and is_vouched_for(file):
                shutil.copy2(file, place)
                shutil.copy2(sidecar(file), place)
    for known in results.glob(f"*{KNOWN}*"):
        known.unlink()  # a folder replaces an empty one only
    os.replace(draft, results)


def _is_index(file: Path) -> bool:
    """Indices (and identities.json), which are written by a rename and so are always whole."""
    return file.suffix == ".json" and not file.name.startswith(".")


def is_vouched_for(file: Path) -> bool:
    """Whether a table is as its sidecar has it: a table is written in place, and may be torn."""
    try:
        return json.loads(sidecar(file).read_text())["files"][file.name] == checksum(file)
    except (OSError, ValueError, KeyError):
        return False


def _link(source: str, target: str) -> None:
    """A second name for a file; a copy where the file system has no such thing."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
