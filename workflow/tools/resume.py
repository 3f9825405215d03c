"""Take up a run whose controller was killed: its jobs end first, and none is made twice.

Every run leaves a note of who it is, and takes it away when it ends. Where the next run finds the
note of a controller that is no more, it waits until neither this machine nor the queue of a cluster
has any of its jobs, keeps what they finished, and takes the lock away. A lock without a note, as
plain Snakemake leaves it, stays.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from workflow.lib.jobs.drafts import place
from workflow.lib.jobs.explanation import recorded_recipe
from workflow.lib.jobs.inheriting import is_vouched_for

NOTES = Path(".snakemake/controllers")  # a note for each: two studies may run in one folder
INCOMPLETE = Path(".snakemake/incomplete")
SCRIPTS = Path(".snakemake/scripts")  # a copy for each job, which its controller removes
RUN_ID = re.compile(r"^SLURM run ID: ([\w-]+)")
LOOKS = {"-n", "--dry-run", "--dryrun", "--unlock"}  # make nothing, and need nobody to be gone
QUEUE_S = 10  # between two looks at the queue
HERE_S = 1  # and at the processes of this machine
ASK_S = 60  # a busy controller of Slurm takes its time


def noting(lines: Iterable[str], pid: int) -> Iterator[str]:
    """Pass Snakemake's lines on; there is a note of it, which names its jobs once a line does."""
    write_note(pid, None)
    for line in lines:
        if found := RUN_ID.match(line):
            write_note(pid, found[1])
        yield line


def write_note(pid: int, jobs: str | None) -> None:
    """Note a run: where it is, and what its jobs are called where a cluster has them."""
    born = psutil.Process(pid).create_time()
    note = {"host": place(), "pid": pid, "born": born, "jobs": jobs}
    draft = note_of(note).with_suffix(".draft")
    try:
        NOTES.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(note))
        os.replace(draft, note_of(note))
    except OSError as error:
        say(f"No note of this run could be left: {error}. Nobody will take it up if it is killed.")


def note_of(note: dict) -> Path:
    return NOTES / f"{note['host']}-{note['pid']}.json"


def end_note(pid: int, status: int) -> None:
    """Remove the note of this run, unless Snakemake was killed and could not see to its jobs."""
    if status >= 0:
        note_of({"host": place(), "pid": pid}).unlink(missing_ok=True)


def read_notes() -> list[dict]:
    notes = []
    for file in sorted(NOTES.glob("*.json")):
        with contextlib.suppress(OSError, ValueError):  # another run has ended meanwhile
            notes.append(json.loads(file.read_text()))
    return notes


def may_be_at_work(note: dict) -> str | None:
    """A sentence on a run that goes on, or may; None where it is no more."""
    if note["host"] != place():
        cancel = f"scancel --name {note['jobs']}; " if note["jobs"] else ""
        return (
            f"A run on {note['host']} left its note here. Go on there; or, if it is certainly no"
            f" more at work: {cancel}rm {note_of(note)}; snakemake --unlock"
        )
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(note["pid"])
        if process.create_time() == note["born"] and process.status() != psutil.STATUS_ZOMBIE:
            return (
                f"The run of process {note['pid']} is at work here. Wait for it, or interrupt it."
            )
    return None


def others_at_work() -> list[str]:
    """A sentence on every run that goes on in this folder, or may."""
    return [said for note in read_notes() if (said := may_be_at_work(note))]


def take_up(arguments: list[str]) -> str | None:
    """Wait for the jobs of killed controllers, if there were any, and make way for the next.

    arguments: Snakemake's. Gives None where nothing is in the way that Snakemake's own lock does
    not know of; else a sentence that says why an earlier run may still be at work.
    """
    notes = read_notes()
    if not notes or not LOOKS.isdisjoint(arguments):
        return None
    killed = [note for note in notes if not may_be_at_work(note)]
    if others := others_at_work():  # the lock of a killed run cannot be told from theirs
        return others[0] if killed or any(note["jobs"] for note in notes) else None
    with (NOTES / "taking_up").open("w") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "Another run is taking up the one that was killed. Wait for it."
        killed = [note for note in killed if note_of(note).exists()]  # else that other run did it
        return end(killed, arguments) if killed else None


def end(killed: list[dict], arguments: list[str]) -> str | None:
    """Wait for all that killed runs left at work, keep what it finished, take the lock away."""
    try:
        for jobs in (note["jobs"] for note in killed if note["jobs"]):
            if fault := wait_for_queue(jobs):
                return fault
        wait_until_none(lambda: jobs_at_work(Path.cwd()), tell_processes, HERE_S)
    except KeyboardInterrupt:
        return "You did not wait for the jobs of the killed run; they go on."
    kept = keep_finished()
    for script in SCRIPTS.glob("*.py"):
        script.unlink()
    say(f"The jobs of the killed run have ended; {kept} of its outputs are finished and kept.")
    subprocess.run(  # noqa: S603 - the arguments are the user's own
        [sys.executable, "-m", "snakemake", "--unlock", *arguments],
        capture_output=True,
        check=False,
    )
    for note in killed:
        note_of(note).unlink(missing_ok=True)
    return None


def tell_processes(left: list[int]) -> str:
    numbers = " ".join(map(str, left))
    return (
        f"Jobs of a run that was killed are still at work. They are waited for, so that no two"
        f" write the same. To end them: kill {numbers}"
    )


def jobs_at_work(folder: Path) -> list[int]:
    """The processes of Snakemake, and of stages that it started, that work in a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            is_run = any(Path(part).name == "snakemake" for part in line[:4])
            is_job = any(".snakemake/scripts/" in part for part in line)
            if (is_run or is_job) and Path(process.cwd()) == folder.resolve():
                found.append(process.pid)
    return sorted(found)


def wait_for_queue(jobs: str) -> str | None:
    """Wait until the queue has no job of this name; a sentence where Slurm does not answer."""
    if not shutil.which("squeue"):
        return f"The jobs {jobs} of a killed run cannot be asked for: there is no squeue."
    command = ["squeue", "--noheader", "--name", jobs, "--format", "%A"]

    def queue() -> list[str]:
        return subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=ASK_S, check=True
        ).stdout.split()

    try:
        wait_until_none(
            queue,
            lambda left: (
                f"{len(left)} jobs of a run that was killed are still in the queue. They are waited"
                f" for, so that none is handed in twice. To end them: scancel --name {jobs}"
            ),
            QUEUE_S,
        )
    except (subprocess.SubprocessError, OSError) as error:
        return f"The jobs {jobs} of a killed run cannot be asked for: {error}"
    return None


def wait_until_none(ask: Callable[[], list], tell: Callable[[list], str], every_s: float) -> None:
    """Ask again and again until nothing is left; say what is waited for whenever it changes."""
    told = []
    while left := ask():
        if left != told:
            say(tell(left))
        told = left
        time.sleep(every_s)


def keep_finished() -> int:
    """Take the mark of an unfinished job from outputs that are whole; how many.

    An index gets its name and its recipe when all of it is written; a table is whole where its
    sidecar vouches for its bytes. Whether the recipe is the one that is asked for now is looked at
    as for any other result.
    """
    kept = 0
    for mark in [file for file in INCOMPLETE.rglob("*") if file.is_file()]:
        name = "".join(part.removeprefix("@") for part in mark.relative_to(INCOMPLETE).parts)
        output = Path(urlsafe_b64decode(name).decode())
        index = output.suffix == ".json" and output.is_file() and recorded_recipe(output)
        if index or is_vouched_for(output):
            mark.unlink()
            kept += 1
    return kept


def say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
