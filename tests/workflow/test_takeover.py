"""A controller is stopped while a job is at work: the same command goes on, and races nobody."""

import contextlib
import signal
import subprocess
import sys
import time

import psutil

from tests.workflow.study import Study
from workflow.tools.resume import jobs_at_work

UNLABELLED = {"labels": {"level": "image", "classes": [], "negative": None}}


def said_by(study):
    """What its runs say; not on its own disk, which may be full."""
    return study.folder.with_name(f"{study.folder.name}.txt")


def start(study):
    """The run as `make run` starts it."""
    given = ["--cores", "1", "--configfile", "study.yaml", "--until", "check_slide"]
    with said_by(study).open("w") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "workflow.tools.run", *given],
            cwd=study.folder, env=study.environment(), stdout=said, stderr=said,
        )  # fmt: skip


def wait_for(true, run):
    """What becomes true while a run goes on."""
    while not (found := true()):
        assert run.poll() is None, "the run ended before it came so far"
        time.sleep(0.05)
    return found


def begin(study):
    """The run, its controller and its job, once there is one."""
    run = start(study)
    (controller,) = wait_for(lambda: psutil.Process(run.pid).children(), run)
    (job,) = wait_for(lambda: stages(controller), run)
    return run, controller, job


def stages(controller):
    """The stages that a controller is running; helpers of its own come and go."""
    found = []
    for process in controller.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(".snakemake/scripts/" in part for part in process.cmdline()):
                found.append(process)
    return found


def notes(study):
    return list((study.folder / ".snakemake/controllers").glob("*.json"))


def test_an_orphan_is_waited_for_and_what_it_makes_is_kept(tmp_path):
    place = tmp_path / "sl ide é"
    place.mkdir()
    study = Study.make(place, slides=2, slides_per_shard=1, **UNLABELLED)
    said = said_by(study)
    first, controller, job = begin(study)
    job.suspend()
    controller.send_signal(signal.SIGKILL)
    first.kill()
    first.wait()
    try:
        assert jobs_at_work(study.folder) == [job.pid]
        second = start(study)
        wait_for(lambda: f"To end them: kill {job.pid}\n" in said.read_text(), second)
        assert jobs_at_work(study.folder) == [job.pid]  # nothing else was begun
    finally:
        job.resume()
    assert second.wait() == 0, said.read_text()
    assert "1 of its outputs are finished and kept." in said.read_text()
    made = [line for line in said.read_text().splitlines() if "1024 x 1024 px" in line]
    assert len(made) == 1  # the other slide
    indices = sorted(index.name for index in (study.results / "checks").glob("*.json"))
    assert indices == ["s01.json", "s02.json"]
    assert not notes(study)


def test_a_run_that_is_asked_to_stop_finishes_its_job_and_begins_no_other(tmp_path):
    study = Study.make(tmp_path, slides=2, slides_per_shard=1, **UNLABELLED)
    run, _, _ = begin(study)
    run.terminate()
    assert run.wait() == 1
    assert "The run was stopped before all was made" in said_by(study).read_text()
    assert jobs_at_work(study.folder) == [] and not notes(study)
    assert len(list((study.results / "checks").glob("*.json"))) == 1
    assert start(study).wait() == 0
    assert len(list((study.results / "checks").glob("*.json"))) == 2
