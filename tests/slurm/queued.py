"""A small study whose jobs go through a cluster."""

import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import yaml

from tests.slurm.cluster import Cluster, Job
from tests.workflow.study import ROOT, Study

UNLABELLED = {"labels": {"level": "image", "classes": [], "negative": None}}
PROFILE = "workflow/profiles/slurm"
# Two cores do the work of three nodes: few jobs at once, and a look at them every few seconds.
HERE = ("--jobs", "4", "--slurm-init-seconds-before-status-checks", "3")


class Queued:
    """The study, and what the cluster tells of its jobs."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.study = Study.make(folder, **UNLABELLED)
        self.earlier = len(cluster.jobs())

    def command(self, *arguments: str) -> list[str]:
        run = [sys.executable, "-m", "workflow.tools.run", "--profile", PROFILE]
        line = [*run, "--configfile", "study.yaml", *HERE, *arguments]
        return self.cluster.inside(*line, folder=self.study.folder)

    def start(self, *arguments: str) -> subprocess.Popen:
        """The controller of a run, at work; what it says is in said.txt."""
        with Path(self.study.folder, "said.txt").open("a") as said:
            return subprocess.Popen(
                self.command(*arguments),
                env=self.study.environment(),
                stdout=said,
                stderr=subprocess.STDOUT,
            )

    def run(self, *arguments: str) -> None:
        """Run to the end and expect success."""
        assert self.start(*arguments).wait() == 0, self.said()[-6000:]

    def become_demo(self) -> None:
        """Take the slides and the config of the demo, all stages with it."""
        (self.study.folder / "data").symlink_to(ROOT / "data")
        self.study.config.write_text(yaml.safe_dump({"study": "small"}))

    def one_shard(self) -> None:
        """Let one job go through all slides."""
        self.study.edit_config(None, slides_per_shard=8)

    def wait_for(self, rule: str, *, count: int = 1) -> Job:
        """A job of a rule, once `count` of them run."""
        for _ in range(300):
            running = [job for job in self.jobs() if job.state == "RUNNING" and rule in job.made]
            if len(running) >= count:
                return running[0]
            time.sleep(0.5)
        raise AssertionError(f"no {count} jobs of {rule} run: {self.jobs()}; {self.said()[-3000:]}")

    def doctor(self) -> list[str]:
        """What the doctor finds of the cluster: what is so, and the remedy or None."""
        look = (
            "import pathlib, sys; from workflow.lib.jobs.slurm import check_slurm;"
            f" print(*check_slurm(pathlib.Path({PROFILE!r}))[1:], sep='\\n')"
        )
        line = self.cluster.inside(sys.executable, "-c", look, folder=self.study.folder)
        asked = subprocess.run(line, env=self.study.environment(), capture_output=True, text=True)
        return asked.stdout.splitlines()

    def said(self) -> str:
        return Path(self.study.folder, "said.txt").read_text()

    def jobs(self) -> list[Job]:
        return self.cluster.jobs()[self.earlier :]

    def made(self) -> Counter:
        """How often each rule's job of each shard or fold was handed in."""
        return Counter(job.made for job in self.jobs())
