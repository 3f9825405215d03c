"""A run whose controller was killed: its jobs are waited for, what they finished is kept."""

import json
import os
import socket
from base64 import urlsafe_b64encode

import psutil
import pytest

from workflow.tools import resume

LINE = "SLURM run ID: 12ab-34\n"
GONE = 2**22 + 1  # above the largest process id that Linux gives


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that studies are run in, with a queue that is asked from files in it."""
    (tmp_path / ".snakemake" / "incomplete").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(resume, "POLL_S", 0.01)
    return tmp_path


def queue(folder, answers):
    """A squeue that gives these answers in turn, then none, and notes what it was asked."""
    (folder / "answers").write_text("".join(f"{answer}\n" for answer in answers))
    (folder / "squeue").write_text(
        "#!/bin/sh\necho $* >> asked\nhead -n1 answers\nsed -i 1d answers\n"
    )
    (folder / "squeue").chmod(0o755)


def note(**changes):
    known = {"host": socket.gethostname(), "pid": GONE, "born": 1.0, "jobs": "12ab-34"}
    resume.NOTE.write_text(json.dumps(known | changes))


def mark(folder, output, text=None):
    """An output that Snakemake thinks unfinished, with what is in it."""
    (folder / output).parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        (folder / output).write_text(text)
    name = urlsafe_b64encode(output.encode()).decode()
    parts = [name[start : start + 254] for start in range(0, len(name), 254)]
    file = folder.joinpath(".snakemake/incomplete", *(f"@{part}" for part in parts[:-1]), parts[-1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text('{"external_jobid": "7"}')
    return file


def test_a_run_notes_its_jobs_and_removes_the_note_when_it_ends(folder):
    lines = resume.noting(["Building DAG of jobs...\n", LINE], os.getpid())
    assert next(lines).startswith("Building") and not resume.NOTE.exists()
    assert next(lines) == LINE
    assert resume.read_note()["jobs"] == "12ab-34"
    resume.end_note(os.getpid() + 1, 0)
    resume.end_note(os.getpid(), -9)
    assert resume.NOTE.exists()
    resume.end_note(os.getpid(), 1)
    assert not resume.NOTE.exists()


def test_jobs_of_a_killed_run_are_waited_for_and_what_they_finished_is_kept(folder, capsys):
    queue(folder, ["7 8", "8"])  # one line holds both
    note()
    whole = mark(folder, "results/a/tiles/one.json", '{"recipe": {"rule": "tile_slide"}}')
    long = mark(folder, f"results/{'a' * 240}/one.json", '{"recipe": {"rule": "tile_slide"}}')
    torn = mark(folder, "results/a/tiles/two.json", '{"recipe": {"ru')
    absent = mark(folder, "results/a/tiles/three.json")
    assert resume.take_up(["--no-such-option"]) is None
    assert not whole.exists() and not long.exists() and torn.exists() and absent.exists()
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("2 jobs of a run that was killed are still in the queue")
    assert said[1].startswith("1 jobs") and "scancel --name 12ab-34" in said[1]
    assert "2 of its outputs are finished and kept" in said[2]
    assert not resume.NOTE.exists()
    asked = (folder / "asked").read_text().splitlines()
    assert asked == ["--noheader --name 12ab-34 --format %A"] * 3


def test_a_run_that_may_be_at_work_is_left_alone(folder):
    queue(folder, [])
    note(host="login-2")
    assert resume.take_up([]).startswith("A run on login-2 left its note here.")
    note(pid=os.getpid(), born=psutil.Process().create_time())
    assert resume.take_up([]).startswith(f"The run of process {os.getpid()} is at work here.")
    assert resume.take_up(["--dry-run"]) is None
    assert resume.NOTE.exists() and not (folder / "asked").exists()


def test_a_queue_that_cannot_be_asked_is_said_and_the_note_stays(folder, monkeypatch):
    note()
    monkeypatch.setenv("PATH", "/nowhere")
    assert "there is no squeue" in resume.take_up([])
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    (folder / "squeue").write_text("#!/bin/sh\nexit 1\n")
    (folder / "squeue").chmod(0o755)
    assert resume.take_up([]).startswith("The jobs 12ab-34 of a killed run cannot be asked for: ")
    assert resume.NOTE.exists()


def test_a_process_of_the_same_number_that_is_another_is_no_run(folder):
    queue(folder, [])
    note(pid=os.getpid(), born=1.0)
    assert resume.take_up([]) is None


def test_without_a_note_nothing_is_asked(folder):
    queue(folder, [])
    assert resume.take_up([]) is None and not (folder / "asked").exists()
