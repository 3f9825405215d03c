"""A real Slurm of three nodes, in a folder and namespaces of its own, that ends with its owner."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

import psutil

SCRIPT = Path(__file__).with_name("cluster.sh")
PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun")
NAMESPACES = ("--pid", "--mount-proc", "--net", "--uts", "--fork", "--kill-child")
TOOLS = ("ip", "nsenter", "setpriv", "unshare")
STARTS_S = 60


class Absent(Exception):
    """There can be no Slurm here; the sentence says why."""


class Job(NamedTuple):
    """A job as the controller remembers it.

    memory, limit    that were asked for, as Slurm writes them (1000M, 2:00:00)
    made             its comment: rule and wildcards
    """

    number: int
    state: str
    node: str
    partition: str
    memory: str
    limit: str
    made: str


class Cluster:
    """A cluster that runs until `stop`, or until this process dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with Path(folder, "cluster.out").open("w") as said:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "unshare", *NAMESPACES, "bash", SCRIPT, folder],
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + STARTS_S
        while not Path(folder, "ready").exists():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                logs = [Path(folder, "cluster.out"), *sorted(folder.glob("log/*.log"))]
                said = "; ".join(log.read_text()[-300:].strip() for log in logs)
                raise RuntimeError(f"Slurm is here and does not start: {said}")
            time.sleep(0.1)

    def inside(self, *command: str, folder: Path) -> list[str]:
        """The command line that runs `command` where the cluster is, in `folder`."""
        (first,) = psutil.Process(self.process.pid).children()
        enter = ["nsenter", f"--target={first.pid}", "--mount", "--pid", "--net", "--uts"]
        path = f"PATH={self.folder}/bin:{os.environ['PATH']}"
        return [*enter, f"--wd={folder}", "env", path, *command]

    def ask(self, *command: str) -> str:
        """What a client of Slurm answers."""
        line = self.inside(*command, folder=self.folder)
        return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout

    def jobs(self) -> list[Job]:
        """All jobs since the cluster began, in the order in which they were handed in."""
        told = self.ask("squeue", "--noheader", "--states=all", "--format=%A|%T|%N|%P|%m|%l|%k")
        rows = (line.split("|", 6) for line in told.splitlines())
        return sorted(Job(int(number), *others) for number, *others in rows)

    def stop(self) -> None:
        """End the first process of the namespace, and with it every daemon and job."""
        self.process.kill()
        self.process.wait()


def unpack(folder: Path) -> None:
    """Have Slurm in `folder/root`, from the packages of Debian, unless it is installed.

    Nothing is installed. Raises Absent where this cannot be.
    """
    if os.geteuid() != 0:
        raise Absent("only root can make the namespaces of a cluster")
    if lacking := [tool for tool in TOOLS if not shutil.which(tool)]:
        raise Absent(f"there is no {', '.join(lacking)} here")
    tried = subprocess.run(["unshare", *NAMESPACES, "true"], capture_output=True, text=True)
    if tried.returncode:
        raise Absent(f"namespaces are not allowed here ({tried.stderr.strip()})")
    if all(shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") for program in PROGRAMS):
        return
    if not shutil.which("apt-get"):
        raise Absent("Slurm is not installed, and there is no apt-get to fetch it with")
    Path(folder, "debs", "partial").mkdir(parents=True)
    where = [f"--option=Dir::Cache::archives={folder}/debs", "--no-install-recommends"]
    fetch = ["apt-get", "install", "--yes", "--download-only", *where, *PACKAGES]
    fetched = subprocess.run(fetch, capture_output=True, text=True)
    if fetched.returncode:  # the lists of a fresh container are empty or old
        subprocess.run(["apt-get", "update"], capture_output=True)
        fetched = subprocess.run(fetch, capture_output=True, text=True)
    if fetched.returncode:
        raise Absent(f"{', '.join(PACKAGES)} cannot be had: {fetched.stderr.strip()[-300:]}")
    for package in sorted(Path(folder, "debs").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, folder / "root"], check=True)
