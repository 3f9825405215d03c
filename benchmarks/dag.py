"""What Snakemake's graph costs as a cohort grows: seconds and memory before the first job begins.

    python benchmarks/dag.py --slides 100 1000 10000

Cohorts are made up: a sheet, a file of a few bytes per slide, and every index, table and record of
Snakemake as if the study had run, without a pixel. Three dry runs are measured: the first, one with
nothing to do, and one after an edit of one parameter. Each is a process of its own. 100000 slides
are an option: minutes a dry run, and gigabytes of memory.
"""

import argparse
import base64
import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workflow.lib.jobs import explanation
from workflow.lib.jobs.recipe import canon, digest
from workflow.tools.explain import JOB

ROOT = Path(__file__).resolve().parents[1]
EDIT = {"stitch_heatmap": {"window": "flat"}}
HEAD = ("slides", "per shard", "jobs", "dry run", "CPU s", "peak MB", "jobs to run")
WIDTHS = (9, 9, 9, 13, 8, 8, 11)
RECOMMENDED = ((500, 8), (5000, 50), (math.inf, 500))  # slides at most, per shard
MADE = 1_700_000_000  # every output has this time, so that none is newer than what it is made of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--slides", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--per-shard", type=int, help="as docs/decisions/scale.md recommends")
    parser.add_argument("--fabricate", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fabricate:
        fabricate(given.fabricate)
    show(HEAD)
    for count in given.slides:
        with tempfile.TemporaryDirectory(prefix="dag-") as folder:
            measure(Path(folder), count, given.per_shard or recommended(count))


def recommended(count: int) -> int:
    """Slides per shard for a study of so many slides."""
    return next(per_shard for most, per_shard in RECOMMENDED if count <= most)


def show(row: Sequence[str]) -> None:
    cells = (cell.rjust(width) for cell, width in zip(row, WIDTHS, strict=True))
    print(f"| {' | '.join(cells)} |", flush=True)


def measure(folder: Path, count: int, per_shard: int) -> None:
    """Print the rows of the table for one cohort, each as soon as it is there."""
    make_cohort(folder, count, per_shard)
    cpu, peak, total = dry_run(folder)
    size = (f"{count:,}", str(per_shard), f"{total:,}")
    show((*size, "first", f"{cpu:.1f}", f"{peak:,.0f}", f"{total:,}"))
    make_results(folder)
    cpu, peak, jobs = dry_run(folder)
    if jobs:
        raise RuntimeError(f"{jobs} jobs would run of a study that is made up as finished")
    show((*size, "nothing to do", f"{cpu:.1f}", f"{peak:,.0f}", "0"))
    config = yaml.safe_load((folder / "study.yaml").read_text())
    (folder / "study.yaml").write_text(yaml.safe_dump(config | EDIT))
    cpu, peak, jobs = dry_run(folder)
    show((*size, "one parameter", f"{cpu:.1f}", f"{peak:,.0f}", f"{jobs:,}"))


def make_cohort(folder: Path, count: int, per_shard: int) -> None:
    """A sheet, a config and a file per slide, of whose content only that it differs matters."""
    (folder / "slides").mkdir()
    lines = ["slide\tpath\tpatient\tlabel"]
    for number in range(count):
        path = f"slides/s{number:06d}.tif"
        (folder / path).write_text(f"slide {number}")
        label = ("normal", "tumour")[number // 2 % 2]
        lines.append(f"s{number:06d}\t{path}\tp{number // 2}\t{label}")
    (folder / "slides.tsv").write_text("\n".join(lines) + "\n")
    config = {"study": "dag", "slides": "slides.tsv", "slides_per_shard": per_shard}
    config["labels"] = {"level": "image", "classes": ["normal", "tumour"], "negative": "normal"}
    (folder / "study.yaml").write_text(yaml.safe_dump(config))
    (folder / "config").symlink_to(ROOT / "config")


def arguments(*others: str) -> list[str]:
    given = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", "study.yaml"]
    profile = ["--workflow-profile", str(ROOT / "workflow/profiles/default")]
    return ["--dry-run", "--cores", "2", *given, *profile, *others]


def dry_run(folder: Path) -> tuple[float, float, int]:
    """CPU seconds, peak MB, and how many jobs would run."""
    command = [sys.executable, "-m", "snakemake", *arguments("--quiet", "rules")]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT) as process,
    ):
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read()
    if process.returncode:
        raise RuntimeError(f"Snakemake ended with {process.returncode}:\n{text[-3000:]}")
    found = re.search(r"^total +(\d+)", text, re.MULTILINE)
    jobs = int(found[1]) - 1 if found else 0  # without rule all
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, jobs


def make_results(folder: Path) -> None:
    """Every output of the study with its recipe, and what Snakemake records of it."""
    command = [sys.executable, __file__, "--fabricate", *arguments()]
    environment = os.environ | {"MICROTOME_EXPLAIN": "recipes", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    recipes = {}
    for noted in map(json.loads, (folder / "recipes").read_text().splitlines()):
        if isinstance(noted, list):  # else it is of the study, for a forecast
            output, recipe = noted
            recipes[output] = recipe
    for rule, block in JOB.findall(done.stdout):
        fields = dict(re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE))
        for output in fields["output"].split(", ") if "output" in fields else ():
            make_output(folder, rule, output, recipes[output], fields)
    (folder / "recipes").unlink()


def make_output(folder: Path, rule: str, output: str, recipe: dict, fields: dict) -> None:
    """An index, or a table with its sidecar, and Snakemake's record (version 6) of the output."""
    file = folder / output
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".json":
        names = list(recipe["slides"]) if "wildcards" in fields else []
        names = names if "shard=" in fields.get("wildcards", "") else [file.stem]
        units = {name: {"recipe": digest(name), "verdict": "ok"} for name in names}
        index = {"rule": rule, "shard": file.stem, "recipe": recipe, "units": units}
        file.write_text(canon(index | {"seal": digest(index)}) + "\n")
    else:
        file.write_text("made up\n")
        explanation.sidecar(file).write_text(canon({"recipe": recipe, "files": {}}))
    os.utime(file, (MADE, MADE))
    record = {"rule": rule, "params": [repr(canon(recipe))], "record_format_version": 6}
    record |= {"input": sorted(set(fields["input"].split(", "))) if "input" in fields else []}
    record |= {"log": [fields["log"]], "starttime": MADE, "endtime": MADE, "incomplete": False}
    name = base64.urlsafe_b64encode(output.encode()).decode()
    pieces = [name[start : start + 254] for start in range(0, len(name), 254)]
    place = Path(folder, ".snakemake/metadata", *(f"@{p}" for p in pieces[:-1]), pieces[-1])
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(record))


def fabricate(given: list[str]) -> None:
    """Be Snakemake, and note the recipe of every job in place of what changed in it."""
    from snakemake.cli import main as snakemake

    def note(output: Path, rule: str, current: dict, notes: Path) -> None:
        with notes.open("a") as stream:
            stream.write(json.dumps([str(output), current]) + "\n")

    explanation.note_change = note
    snakemake(given)


if __name__ == "__main__":
    main()
