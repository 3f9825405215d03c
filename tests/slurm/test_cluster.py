"""A study through a real Slurm: `make test-slurm`."""

import subprocess
import sys
import time

import psutil
import pytest

from tests.slurm.queued import PROFILE
from tests.workflow.study import ROOT

pytestmark = pytest.mark.slurm


def test_a_study_is_made_by_jobs_on_several_nodes(whole):
    whole.run()
    jobs = whole.jobs()
    assert {job.state for job in jobs} == {"COMPLETED"}
    assert len({job.node for job in jobs}) >= 2
    assert set(whole.made().values()) == {1}
    assert (whole.study.results / "report.html").is_file()
    verified = subprocess.run(
        [sys.executable, "-m", "workflow.tools.verify", whole.study.results],
        cwd=whole.study.folder,
        env=whole.study.environment(),
        capture_output=True,
        text=True,
    )
    assert verified.returncode == 0 and " 0 problems" in verified.stdout, verified.stdout


def test_an_out_of_memory_job_gets_more_memory_and_time_and_succeeds(queued):
    queued.one_shard()
    growing = "mask_tissue:mem_mb=100 * 10 ** (attempt - 1)"
    queued.run("--until", "mask_tissue", "--set-resources", growing)
    first, second = (job for job in queued.jobs() if job.made.startswith("rule_mask_tissue"))
    assert (first.state, first.memory, first.limit) == ("FAILED", "100M", "2:00:00")
    assert (second.state, second.memory, second.limit) == ("COMPLETED", "1000M", "4:00:00")


def test_a_cancelled_job_is_noticed_and_made_again(queued):
    queued.one_shard()
    run = queued.start("--until", "mask_tissue")
    job = queued.wait_for("check_slide")
    queued.cluster.ask("scancel", str(job.number))
    assert run.wait() == 0, queued.said()
    again = [other for other in queued.jobs() if other.made == job.made]
    assert [other.state for other in again] == ["CANCELLED", "COMPLETED"]


def test_a_killed_controller_is_taken_up_without_a_job_handed_in_twice(queued):
    run = queued.start("--until", "mask_tissue")
    queued.wait_for("check_slide", count=2)
    for process in psutil.Process(run.pid).children(recursive=True):
        process.kill()
    run.wait()
    queued.run("--until", "mask_tissue")
    assert "of a run that was killed are still in the queue" in queued.said()
    assert set(queued.made().values()) == {1}
    assert {job.state for job in queued.jobs()} == {"COMPLETED"}


def test_a_gpu_is_asked_for_by_the_lines_of_the_guide(queued):
    queued.one_shard()
    lines = ("check_slide:gpu=1", "check_slide:slurm_partition=gpu")
    queued.run("--until", "check_slide", "--set-resources", *lines)
    (job,) = queued.jobs()
    assert (job.state, job.partition) == ("COMPLETED", "gpu")
    assert "TresPerJob=gres:gpu:1" in queued.cluster.ask("scontrol", "show", "job", str(job.number))


def test_the_doctor_knows_a_partition_that_is_not_there(queued):
    assert queued.doctor() == ["partition cpu", "None"]
    profile = queued.study.folder / PROFILE / "config.yaml"
    profile.write_text(profile.read_text().replace("slurm_partition: cpu", "slurm_partition: day"))
    remedy = f"write one of cpu, gpu into {PROFILE}/config.yaml"
    assert queued.doctor() == ["there is no partition day", remedy]


def test_the_doctor_knows_what_no_node_has(queued):
    profile = queued.study.folder / PROFILE / "config.yaml"
    text = profile.read_text()
    for line, said in (
        (
            "runtime: 5000",
            "attempt 1 at train_unet asks for 5000 minutes; partition cpu gives 4320",
        ),
        ("mem_mb: 17001", "attempt 1 at train_unet asks for 17001 MB; partition cpu gives 17000"),
    ):
        profile.write_text(
            text.replace("train_unet: {runtime: 720 * attempt}", f"train_unet: {{{line}}}")
        )
        assert queued.doctor()[0] == said
    profile.write_text(
        text.replace("train_unet: {runtime", "train_unet: {gpu: 1, slurm_partition: gpu, runtime")
    )
    assert queued.doctor() == ["partition cpu, gpu", "None"]


def test_no_daemon_and_no_job_is_left_where_the_tests_are_killed(cluster):
    folder = cluster.folder / "second"
    folder.mkdir()
    if (cluster.folder / "root").is_dir():
        (folder / "root").symlink_to(cluster.folder / "root")
    code = (
        "import sys, pathlib, time; from tests.slurm.cluster import Cluster;"
        " second = Cluster(pathlib.Path(sys.argv[1]));"
        " print(second.ask('sbatch', '--wrap', f'sleep 600; : {second.folder}'), flush=True);"
        " time.sleep(600)"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with owner:
        assert owner.stdout.readline().startswith("Submitted")
        wait_until(lambda: any("slurm_script" in line for line in lines_of(folder)))
        owner.kill()
    wait_until(lambda: not lines_of(folder))


def lines_of(folder):
    """The command lines of all processes that name a folder."""
    found = (process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"]))
    return [line for parts in found if str(folder) in (line := " ".join(parts))]


def wait_until(true):
    for _ in range(100):
        if true():
            return
        time.sleep(0.2)
    raise AssertionError("it did not become so in 20 s")
