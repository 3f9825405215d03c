"""Take up a run whose controller on a cluster was killed: its jobs are not handed in again.

A run that hands its jobs to Slurm leaves a note of who it is. Where the next run finds the note of
a controller that is no more, it waits until the queue has none of its jobs, keeps what they
finished, and takes the lock away.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from workflow.lib.jobs.explanation import recorded_recipe

NOTE = Path(".snakemake/controller.json")
INCOMPLETE = Path(".snakemake/incomplete")
RUN_ID = re.compile(r"^SLURM run ID: ([\w-]+)")
LOOKS = {"-n", "--dry-run", "--dryrun", "--unlock"}  # make nothing, and need nobody to be gone
POLL_S = 10
ASK_S = 60  # a busy controller of Slurm takes its time


def noting(lines: Iterable[str], pid: int) -> Iterator[str]:
    """Pass Snakemake's lines on; from the line that names its jobs on, the note is there."""
    for line in lines:
        if found := RUN_ID.match(line):
            born = psutil.Process(pid).create_time()
            note = {"host": socket.gethostname(), "pid": pid, "born": born, "jobs": found[1]}
            draft = NOTE.with_suffix(".draft")
            draft.write_text(json.dumps(note))
            os.replace(draft, NOTE)
        yield line


def end_note(pid: int, status: int) -> None:
    """Remove the note of this run, unless Snakemake was killed and could not see to its jobs."""
    note = read_note()
    if note and note["pid"] == pid and status >= 0:
        NOTE.unlink()


def read_note() -> dict | None:
    try:
        return json.loads(NOTE.read_text())
    except (OSError, ValueError):
        return None


def take_up(arguments: list[str]) -> str | None:
    """Wait for the jobs of a killed controller, if there was one, and make way for the next.

    arguments: Snakemake's. Gives None where nothing is in the way; else a sentence that says why
    the earlier run may still be at work, or cannot be asked for.
    """
    note = read_note()
    if not note or not LOOKS.isdisjoint(arguments):
        return None
    if note["host"] != socket.gethostname():
        return (
            f"A run on {note['host']} left its note here. Go on there; or, if it is certainly no"
            f" more at work: scancel --name {note['jobs']}; rm {NOTE}; snakemake --unlock"
        )
    with contextlib.suppress(psutil.NoSuchProcess):
        if psutil.Process(note["pid"]).create_time() == note["born"]:
            return (
                f"The run of process {note['pid']} is at work here. Wait for it, or interrupt it."
            )
    if not shutil.which("squeue"):
        return f"The jobs {note['jobs']} of a killed run cannot be asked for: there is no squeue."
    if fault := wait_for(note["jobs"]):
        return fault
    kept = keep_finished()
    say(f"The jobs of the killed run have ended; {kept} of its outputs are finished and kept.")
    subprocess.run(  # noqa: S603 - the arguments are the user's own
        [sys.executable, "-m", "snakemake", "--unlock", *arguments],
        capture_output=True,
        check=False,
    )
    NOTE.unlink()
    return None


def wait_for(jobs: str) -> str | None:
    """Wait until the queue has no job of this name; a sentence where Slurm does not answer."""
    told = None
    while True:
        try:
            queue = subprocess.run(  # noqa: S603
                ["squeue", "--noheader", "--name", jobs, "--format", "%A"],  # noqa: S607
                capture_output=True,
                text=True,
                timeout=ASK_S,
                check=True,
            )
        except (subprocess.SubprocessError, OSError) as error:
            return f"The jobs {jobs} of a killed run cannot be asked for: {error}"
        left = len(queue.stdout.split())
        if not left:
            return None
        if left != told:
            say(
                f"{left} jobs of a run that was killed are still in the queue. They are waited for,"
                f" so that none is handed in twice. To end them: scancel --name {jobs}"
            )
        told = left
        try:
            time.sleep(POLL_S)
        except KeyboardInterrupt:
            return f"You did not wait for the jobs {jobs} of the killed run; they go on."


def keep_finished() -> int:
    """Take the mark of an unfinished job from outputs that carry their recipe; how many.

    An output gets its name and its recipe when all of it is written. Whether the recipe is the
    one that is asked for now is looked at as for any other result.
    """
    kept = 0
    for mark in [file for file in INCOMPLETE.rglob("*") if file.is_file()]:
        name = "".join(part.removeprefix("@") for part in mark.relative_to(INCOMPLETE).parts)
        output = Path(urlsafe_b64decode(name).decode())
        if output.is_file() and recorded_recipe(output):
            mark.unlink()
            kept += 1
    return kept


def say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
