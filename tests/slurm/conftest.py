"""The cluster of the tests, or the reason why there is none."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.slurm.cluster import Absent, Cluster, unpack
from tests.slurm.queued import Queued


def pytest_addoption(parser):
    parser.addoption("--cohort", choices=("small", "demo"), default="small")


@pytest.fixture(scope="session")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="microtome-slurm-"))  # short: paths of sockets are
    try:
        try:
            unpack(folder)
        except Absent as reason:
            pytest.skip(f"there can be no Slurm here: {reason}")
        running = Cluster(folder)  # where there can be one, it has to start
        yield running
        running.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def queued(cluster, tmp_path):
    """A small study that was never run, and the jobs that it hands in."""
    return Queued(cluster, tmp_path)


@pytest.fixture
def whole(request, queued):
    """The study that is run to its report: the small one, or that of the demo."""
    if request.config.getoption("--cohort", default="small") == "demo":
        queued.become_demo()
    return queued
