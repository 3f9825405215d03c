"""The soak finds what is left and what grows, and a small one goes through."""

import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tests import soak
from tests.soak_seen import Seen, at_work, excess, growth, leftovers
from tests.workflow.study import Study

LEFT = (
    "results/small/tiles/.s01.7@here@0123.draft",
    "tmp/tmpabcd/rows.npy",
    "scratch/.microtome.7@here@0123.draft/s01.tif",
    ".snakemake/scripts/tmpabcd.tile_slide.py",
    ".snakemake/incomplete/cmVzdWx0cw==",
    ".snakemake/controllers/here-7.json",
    ".snakemake/controllers/here-7.draft",
    ".snakemake/locks/0.input.lock",
    "logs/small/tile_slide/00.log.part",
    "tmp/snakemake8d/source.py",
)
BOTH = ("results/small/report.html", "logs/small/tile_slide/00.log", ".snakemake/metadata/cmVz")
ALLOWED = (
    ".snakemake/log/2026-11-29.snakemake.log",
    ".snakemake/controllers/taking_up",
    "workflow/lib/__pycache__/noun.cpython-311.pyc",
)


def fill(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", LEFT)
def test_whatever_only_the_disturbed_study_has_was_left(tmp_path, name):
    calm, soaked = (fill(tmp_path / study, (*BOTH, *ALLOWED)) for study in ("calm", "soaked"))
    (calm / ALLOWED[0]).rename(calm / ".snakemake/log/of-another-time")
    (calm / "tmp").mkdir(exist_ok=True)
    (soaked / "tmp/snakemake8d").mkdir(parents=True, exist_ok=True)
    assert list(leftovers(calm, soaked)) == []
    fill(soaked, (name,))
    assert f"{name} was left" in list(leftovers(calm, soaked))


def test_a_draft_that_both_studies_have_was_left_too(tmp_path):
    for study in ("calm", "soaked"):
        fill(tmp_path / study, LEFT[:1])
    assert list(leftovers(tmp_path / "calm", tmp_path / "soaked")) == [f"{LEFT[0]} was left"]


def runs(*held: tuple[str, int, int]) -> Seen:
    return Seen([(Counter({kind: mb}), Counter({kind: files})) for kind, mb, files in held])


def test_what_takes_more_than_in_peace_is_said():
    calm = runs(("tile_slide", 200, 20), ("controller", 200, 20))
    assert list(excess(calm, runs(("tile_slide", 400, 36)))) == []
    assert list(excess(calm, runs(("tile_slide", 401, 20)))) == [
        "tile_slide took 401 MB instead of 200"
    ]
    assert list(excess(calm, runs(("controller", 9, 37)))) == [
        "controller had 37 files open instead of 20"
    ]


def test_what_grows_from_run_to_run_is_said():
    flat = [("controller", 200, 20), ("run", 50, 9)] * 2 + [("controller", 200, 20)] * 2
    assert list(growth(runs(*flat))) == []
    assert list(growth(runs(*flat[:-1], ("controller", 401, 20)))) == [
        "controller took 401 MB instead of 200 in the first runs"
    ]
    assert list(growth(runs(*flat[:-1], ("controller", 200, 40)))) == [
        "controller had 40 files open instead of 20 in the first runs"
    ]
    assert list(growth(runs(*flat[:2]))) == []  # too few to tell


def test_the_stage_that_was_harmed_least_is_harmed_next_and_harms_do_what_they_say(tmp_path):
    jobs = [f".snakemake/scripts/tmp.{stage}.py" for stage in ("tile_slide", "make_cams")]
    fill(tmp_path, tuple(jobs))
    for job in jobs:
        (tmp_path / job).write_text("sleep 60; :")
    (tmp_path / "controller").write_text("".join(f"sh {job} &\n" for job in jobs) + "wait")
    command = ["sh", "-c", "sh controller snakemake & wait; exec sleep 60", "workflow.tools.run"]
    with subprocess.Popen(command, cwd=tmp_path, start_new_session=True) as run:
        family = psutil.Process(run.pid)

        def wait_for(kinds: set[str]) -> None:
            for _ in range(300):
                found = set(at_work(family))
                if found - {"other"} == kinds:
                    return
                time.sleep(0.05)
            raise AssertionError(f"{found} are at work, not {kinds}")

        wait_for({"controller", "tile_slide", "make_cams"})
        done = Counter({"SIGKILL of make_cams": 1})
        for number, harm in ((3, "SIGKILL of tile_slide"), (2, "SIGKILL of run and controller")):
            chance = SimpleNamespace(integers=lambda most, number=number: min(number, most - 1))
            assert soak.disturb(Study(tmp_path), run, Seen(), done, chance) == harm
            if number == 3:
                wait_for({"controller", "make_cams"})
        assert run.wait() == -signal.SIGKILL
        os.killpg(run.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_small_study_that_is_harmed_twice_becomes_the_same(capsys):
    status = soak.main(["--slides", "8", "--kills", "2", "--seed", "0"])
    said = capsys.readouterr().out
    assert status == 0 and said.endswith("\n0 differences.\n"), said
    assert re.search(r"^8 slides, 1 damaged; in peace: \d+ s\.$", said, re.MULTILINE), said
    (harms,) = re.findall(r"harms (\{.*\})\.$", said, re.MULTILINE)
    assert sum(map(int, re.findall(r"': (\d+)", harms))) == 2
