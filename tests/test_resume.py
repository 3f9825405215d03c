"""A run whose controller was killed: its jobs are waited for, what they finished is kept."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode

import psutil
import pytest

from workflow.lib.jobs.drafts import place
from workflow.lib.jobs.units import checksum
from workflow.tools import resume

LINE = "SLURM run ID: 12ab-34\n"
GONE = 2**22 + 1  # above the largest process id that Linux gives


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that studies are run in, with a queue that is asked from files in it."""
    (tmp_path / ".snakemake" / "incomplete").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(resume, "QUEUE_S", 0.01)
    monkeypatch.setattr(resume, "HERE_S", 0.01)
    return tmp_path


def queue(folder, answers):
    """A squeue that gives these answers in turn, then none, and notes what it was asked."""
    (folder / "answers").write_text("".join(f"{answer}\n" for answer in answers))
    (folder / "squeue").write_text(
        "#!/bin/sh\necho $* >> asked\nhead -n1 answers\nsed -i 1d answers\n"
    )
    (folder / "squeue").chmod(0o755)


def note(**changes):
    known = {"host": place(), "pid": GONE, "born": 1.0, "jobs": "12ab-34"} | changes
    resume.NOTES.mkdir(exist_ok=True)
    resume.note_of(known).write_text(json.dumps(known))


def notes():
    return [note["pid"] for note in resume.read_notes()]


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


def copy_of_a_script(folder):
    """What Snakemake runs, and removes itself unless it is killed."""
    script = folder / ".snakemake/scripts/tmp1234.tile_slide.py"
    script.parent.mkdir()
    script.touch()
    return script


def test_a_run_notes_its_jobs_and_removes_the_note_when_it_ends(folder):
    lines = resume.noting(["Building DAG of jobs...\n", LINE], os.getpid())
    assert next(lines).startswith("Building") and resume.read_notes()[0]["jobs"] is None
    assert next(lines) == LINE
    assert resume.read_notes()[0]["jobs"] == "12ab-34"
    resume.end_note(os.getpid() + 1, 0)
    resume.end_note(os.getpid(), -9)
    assert notes() == [os.getpid()]
    resume.end_note(os.getpid(), 1)
    assert notes() == []


def test_jobs_of_a_killed_run_are_waited_for_and_what_they_finished_is_kept(folder, capsys):
    queue(folder, ["7 8", "8"])  # one line holds both
    note()
    whole = mark(folder, "results/a/tiles/one.json", '{"recipe": {"rule": "tile_slide"}}')
    long = mark(folder, f"results/{'a' * 240}/one.json", '{"recipe": {"rule": "tile_slide"}}')
    torn = mark(folder, "results/a/tiles/two.json", '{"recipe": {"ru')
    absent = mark(folder, "results/a/tiles/three.json")
    script = copy_of_a_script(folder)
    assert resume.take_up(["--no-such-option"]) is None
    assert not whole.exists() and not long.exists() and torn.exists() and absent.exists()
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith("2 jobs of a run that was killed are still in the queue")
    assert said[1].startswith("1 jobs") and "scancel --name 12ab-34" in said[1]
    assert "2 of its outputs are finished and kept" in said[2]
    assert notes() == [] and not script.exists()
    asked = (folder / "asked").read_text().splitlines()
    assert asked == ["--noheader --name 12ab-34 --format %A"] * 3


def test_a_run_that_may_be_at_work_is_left_alone(folder):
    queue(folder, [])
    note(host="login-2")
    said = resume.take_up([])
    assert said.startswith("A run on login-2 left its note here.")
    assert "scancel --name 12ab-34; rm .snakemake/controllers/login-2-" in said
    resume.note_of({"host": "login-2", "pid": GONE}).unlink()
    note(pid=os.getpid(), born=psutil.Process().create_time())
    script = copy_of_a_script(folder)
    assert resume.take_up([]).startswith(f"The run of process {os.getpid()} is at work here.")
    assert resume.take_up(["--dry-run"]) is None and script.exists()
    assert notes() == [os.getpid()] and not (folder / "asked").exists()


def test_a_queue_that_cannot_be_asked_is_said_and_the_note_stays(folder, monkeypatch):
    note()
    monkeypatch.setenv("PATH", "/nowhere")
    assert "there is no squeue" in resume.take_up([])
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    (folder / "squeue").write_text("#!/bin/sh\nexit 1\n")
    (folder / "squeue").chmod(0o755)
    assert resume.take_up([]).startswith("The jobs 12ab-34 of a killed run cannot be asked for: ")
    assert notes() == [GONE]


def test_a_process_of_the_same_number_that_is_another_is_no_run(folder):
    queue(folder, [])
    note(pid=os.getpid(), born=1.0)
    assert resume.take_up(["--no-such-option"]) is None and notes() == []


def test_without_a_note_nothing_is_asked(folder):
    queue(folder, [])
    assert resume.take_up([]) is None and not (folder / "asked").exists()


@pytest.fixture
def orphan(folder):
    """A job that outlived its controller."""
    line = [sys.executable, "-c", "import time; time.sleep(60)", ".snakemake/scripts/tmp.job.py"]
    with subprocess.Popen(line, cwd=folder) as job:
        yield job
        job.kill()


def test_jobs_on_this_machine_are_waited_for_without_a_cluster(folder, orphan, monkeypatch, capsys):
    note(jobs=None)
    asked = []

    def look(at, work=resume.jobs_at_work):
        asked.append(work(at))
        if len(asked) == 2:
            orphan.kill()
            orphan.wait()
        return asked[-1]

    monkeypatch.setattr(resume, "jobs_at_work", look)
    assert resume.take_up(["--no-such-option"]) is None and notes() == []
    assert asked == [[orphan.pid], [orphan.pid], []]
    said = capsys.readouterr().err
    assert said.count(f"To end them: kill {orphan.pid}\n") == 1


def test_somebody_who_does_not_want_to_wait_starts_nothing(folder, orphan, monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    note(jobs=None)
    monkeypatch.setattr(resume.time, "sleep", interrupt)
    assert resume.take_up([]).startswith("You did not wait for the jobs of the killed run")
    assert notes() == [GONE]


def test_a_run_without_a_cluster_leaves_others_to_the_lock_of_snakemake(folder):
    note(pid=os.getpid(), born=psutil.Process().create_time(), jobs=None)
    assert resume.take_up([]) is None
    assert resume.others_at_work()[0].startswith(f"The run of process {os.getpid()} is at work")


def test_a_lock_is_not_taken_away_while_another_run_is_at_work(folder):
    note(jobs=None)
    note(pid=os.getpid(), born=psutil.Process().create_time(), jobs=None)
    assert resume.take_up([]).startswith(f"The run of process {os.getpid()} is at work here.")
    assert notes() == sorted([os.getpid(), GONE], key=str)


def test_only_one_run_takes_a_killed_one_up(folder, monkeypatch):
    note(jobs=None)
    with (resume.NOTES / "taking_up").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        assert resume.take_up([]).startswith("Another run is taking up the one that was killed")
    work = resume.may_be_at_work
    # between the look at the notes and the turn, the other run has done it all
    monkeypatch.setattr(
        resume, "may_be_at_work", lambda known: resume.note_of(known).unlink() or work(known)
    )
    monkeypatch.setattr(resume, "end", None)
    assert resume.take_up([]) is None


def test_a_table_that_is_not_as_its_sidecar_has_it_was_torn(folder):
    """A job that is killed leaves half a table, beside the sidecar of the run before."""
    whole, torn = mark(folder, "results/a/whole.tsv", "a\tb\n"), mark(folder, "results/a/torn.tsv")
    for name in ("whole.tsv", "torn.tsv"):
        record = {
            "recipe": {"rule": "x"},
            "files": {name: checksum(folder / "results/a/whole.tsv")},
        }
        (folder / f"results/a/.{name}.recipe.json").write_text(json.dumps(record))
    (folder / "results/a/torn.tsv").write_text("a\t")
    assert resume.keep_finished() == 1
    assert torn.exists() and not whole.exists()


def test_a_full_disk_keeps_no_run_from_going_on(folder, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(resume.os, "replace", full)
    assert list(resume.noting([LINE], os.getpid())) == [LINE]
    assert "No note of this run could be left: " in capsys.readouterr().err


def test_a_killed_controller_that_nobody_has_buried_yet_is_no_more(folder):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = psutil.Process(child.pid).create_time()
    note(pid=child.pid, born=born, jobs=None)
    assert "is at work here" in resume.may_be_at_work(resume.read_notes()[0])
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE
    assert resume.may_be_at_work(resume.read_notes()[0]) is None
    child.communicate()
