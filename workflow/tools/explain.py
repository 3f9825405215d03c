"""Say what a run would do and why: `python -m workflow.tools.explain [snakemake's arguments]`.

For every rule: how many jobs and slides would run, and the reason: what is not made yet, which
key changed from what to what, or which stage before it runs. Then what each would cost at most:
tiles, CPU and GPU hours, disk, and the memory that Slurm is asked for, learnt from runs of this
folder where there are any, guessed where not.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import yaml

from workflow.lib.jobs.earlier_runs import EarlierRun, method_of
from workflow.lib.jobs.forecast_tables import table
from workflow.lib.jobs.forecasts import Job, Rate, count_tiles, differing, foresee, learn
from workflow.lib.jobs.guesses import guess

JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?:    .*\n)+)", re.MULTILINE)
SHOWN = 5  # changed keys listed per rule


def main(arguments: list[str]) -> int:
    """Print the explanation; the exit status is 2 where Snakemake cannot use what it was given."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder, "notes.jsonl")
        notes.touch()
        dry_run = subprocess.run(  # noqa: S603 - the arguments are the user's own
            [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", *arguments],
            env=os.environ | {"MICROTOME_EXPLAIN": str(notes)},
            capture_output=True,
            text=True,
            check=False,
        )
        if dry_run.returncode:
            sys.stderr.write(dry_run.stdout + dry_run.stderr)
            return 2
        study, *noted = map(json.loads, notes.open())
    noted = {note["output"]: note for note in noted}
    said = explain(dry_run.stdout, noted) + forecast(dry_run.stdout, noted, study)
    said += queue(dry_run.stdout, arguments)
    sys.stdout.writelines(f"{line}\n" for line in said)
    return 0


def explain(dry_run: str, noted: dict[str, dict]) -> list[str]:
    """Sentences for the jobs of a dry run, given what changed in the recipe of each output."""
    jobs = _jobs(dry_run)
    if not jobs:
        return ["Nothing to be done: every result is made from the current settings, code, slides."]
    lines = []
    for rule, found in jobs.items():
        slides, reasons = set(), defaultdict(int)
        for job in found:
            outputs = job["output"].split(", ")
            note = noted.get(outputs[0], {"changes": None, "slides": []})
            slides |= set(note["slides"])
            for reason in _reasons(job.get("reason", ""), note["changes"]):
                reasons[reason] += 1
        many = f"{len(found)} job{'s' * (len(found) > 1)}"
        lines.append(f"{rule}: {many} over {len(slides)} slide{'s' * (len(slides) != 1)}")
        lines += [f"    {reason}" for reason in list(reasons)[:SHOWN]]
        if len(reasons) > SHOWN:
            lines.append(f"    and {len(reasons) - SHOWN} more reasons")
    return lines


def forecast(dry_run: str, noted: dict[str, dict], study: dict) -> list[str]:
    """Lines on what the jobs of a dry run would cost; none where there are no jobs."""
    found = _jobs(dry_run)
    if not found:
        return []
    results, logs = Path("results"), Path("logs")
    own = EarlierRun(results / study["study"], logs)
    others = [EarlierRun(f, logs) for f in sorted(results.glob("*")) if f != own.results]
    tiling = study["tiling"]
    tile_um = tiling["mpp"] * tiling["stride_px"]
    counted = {slide: n * (um / tile_um) ** 2 for slide, (n, um, _) in _tiled(own).items()}
    tiles, guessed = count_tiles(counted, study["bytes"], tile_um)
    megapixels = {slide: n * tiling["tile_px"] ** 2 / 1e6 for slide, n in tiles.items()}
    jobs, rates = [], {}
    for rule, blocks in found.items():
        for block in blocks:
            outputs = [Path(file) for file in block["output"].split(", ")]
            note = noted.get(str(outputs[0]), {"slides": [], "settings": {}})
            shard = re.search(r"shard=([^,]+)", block.get("wildcards", ""))
            method = method_of(Path(block["log"]).stem, shard[1] if shard else "")
            asked = dict(re.findall(r"(\w+)=(\d+)(?:,|$)", block.get("resources", "")))
            mem_mb = int(asked["mem_mb"]) if "mem_mb" in asked else None
            jobs.append(Job(rule, method, note["slides"], bool(shard), mem_mb, "gpu" in asked))
            if (rule, method) not in rates:
                kept = [output.relative_to(own.results) for output in outputs]
                runs = [own, *others]
                measured = _rate(rule, method, runs, kept, note["settings"])
                rates[rule, method] = measured or guess(rule)
    rows = foresee(jobs, rates, megapixels, tiles)
    return ["", "What it costs at most (~ is a guess):", *table(rows, guessed=guessed)]


def queue(dry_run: str, arguments: list[str]) -> list[str]:
    """A line on how the jobs compare with those that a profile lets into the queue at once."""
    options = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.add_argument("--profile", type=Path)
    options.add_argument("--jobs", "-j", type=int)
    given, _ = options.parse_known_args(arguments)
    found = _jobs(dry_run)
    file = given.profile and given.profile / "config.yaml"
    if not found or not file or not file.is_file():
        return []
    at_once = given.jobs or yaml.safe_load(file.read_text()).get("jobs")
    if not isinstance(at_once, int):
        return []
    total = sum(map(len, found.values()))
    rule, jobs = max(found.items(), key=lambda item: len(item[1]))
    said = f"{total:,} jobs, {at_once:,} at once in the queue (jobs of {file})"
    if len(jobs) <= at_once:
        return [f"{said}: no stage has more at a time ({rule} {len(jobs):,})."]
    return [
        f"{said}, {len(jobs):,} of {rule}: raise slides_per_shard, or jobs if the site lets you."
    ]


def _jobs(dry_run: str) -> dict[str, list[dict[str, str]]]:
    """Rule -> what Snakemake says of each of its jobs, field by field."""
    jobs = defaultdict(list)
    for rule, block in JOB.findall(dry_run):
        fields = dict(re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE))
        if "output" in fields:  # all and export only ask for what others make
            jobs[rule].append(fields)
    return jobs


def _tiled(run: EarlierRun) -> dict[str, tuple[int, float, float]]:
    """Slide -> its tiles, um from one to the next, and Mpx of all."""
    found = {}
    for slide, unit in run.tiled.items():
        made, tiles = unit["made_from"]["settings"], unit["facts"].get("tiles", 0)
        um, pixels = made["mpp"] * made["stride_px"], made["tile_px"] ** 2 / 1e6
        found[slide] = (tiles, um, tiles * pixels)
    return found


def _rate(
    rule: str, method: str, runs: list[EarlierRun], kept: list[Path], settings: dict
) -> Rate | None:
    """What the first run that did just this measured, else one that did it otherwise."""
    second = None
    for run in runs:
        taken = run.taken(rule, method)
        if not taken:
            continue
        left, then = run.kept(rule, kept)
        megapixels = {slide: pixels for slide, (_, _, pixels) in _tiled(run).items()}
        rate = learn(rule, taken, left, megapixels, run.results.name)
        others = differing(settings, then)
        if rate and not others:
            return rate
        if rate and not second:
            second = rate._replace(source=f"{rate.source}: {', '.join(others)}", guessed=True)
    return second


def _reasons(reason: str, changed: list | None) -> list[str]:
    if changed:
        return [f"{_key(key)}: {_short(old)} -> {_short(new)}" for key, old, new in changed]
    if "updated by another job" in reason:
        return ["a stage before it runs"]
    if "Missing output" in reason:
        return ["not made yet"]
    return [reason or "Snakemake gives no reason"]


def _key(key: str) -> str:
    kind, _, name = key.partition(".")
    words = {"code": "code of the stage", "slides": "slide", "versions": "release of"}
    return f"{words[kind]} {name}".strip() if kind in words else name or kind


def _short(value: object) -> str:
    text = "none" if value is None else json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
