"""Say what a run would do and why: `python -m workflow.tools.explain [snakemake's arguments]`.

For every rule: how many jobs and slides would run, and the reason: what is not made yet, which
key changed from what to what, or which stage before it runs.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

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
        noted = {note["output"]: note for note in map(json.loads, notes.open())}
    sys.stdout.writelines(f"{line}\n" for line in explain(dry_run.stdout, noted))
    return 0


def explain(dry_run: str, noted: dict[str, dict]) -> list[str]:
    """Sentences for the jobs of a dry run, given what changed in the recipe of each output."""
    jobs = defaultdict(list)
    for rule, block in JOB.findall(dry_run):
        if rule != "all":
            fields = dict(re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE))
            jobs[rule].append(fields)
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
