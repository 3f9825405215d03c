"""A unit whose writer is killed, has no room, or is not alone."""

import errno
import itertools
import os
import signal
from pathlib import Path

import pytest

from tests.disks import fill, small_disk
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs import units
from workflow.lib.jobs.aftermath import read_failure
from workflow.lib.jobs.damage import find_damage
from workflow.lib.jobs.job import with_code
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import make_unit, manifest

STEPS = ("mkdir", "rename", "replace", "fsync", "rmdir", "unlink")  # of the os, where kills fall


def make(index, **settings):
    slides = [Slide(name, Path(f"{name}.svs"), f"p-{name}", "normal") for name in "ab"]
    recipe = {"rule": "tile_slide", "settings": settings, "slides": {"a": "i", "b": "i"}}
    visit(index, Shard("all", slides, recipe), write)


def write(slide, folder):
    (folder / "payload.txt").write_text(slide.slide)


def killed_at(step, index):
    """Make units in a process that is killed at its step of this number; whether it came so far."""
    if writer := os.fork():
        return os.WIFSIGNALED(os.waitpid(writer, 0)[1])
    count = itertools.count()

    def counted(call):
        def counting(*given, **options):
            if next(count) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*given, **options)

        return counting

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    make(index)
    os._exit(0)


def tree(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_bytes() if file.is_file() else None
        for file in sorted(folder.rglob("*"))
    }


@pytest.mark.parametrize("outdated", [False, True], ids=["anew", "in place of an older result"])
def test_wherever_a_writer_is_killed_units_are_whole_or_not_there(tmp_path, outdated):
    make(tmp_path / "undisturbed" / "all.json")
    undisturbed = tree(tmp_path / "undisturbed")
    for step in itertools.count():
        index = tmp_path / str(step) / "all.json"
        index.parent.mkdir()
        if outdated:
            make(index, threshold=1)
        killed = killed_at(step, index)
        said = [damage.sentence for damage in find_damage(index.parent)[1]]
        assert outdated or not said
        assert all("is missing" in one or "its index lists" in one for one in said), said
        make(index)
        assert tree(index.parent) == undisturbed, f"killed at step {step}"
        if not killed:
            break
    assert step > 10


def test_another_writer_of_the_same_unit_may_be_first(tmp_path, monkeypatch):
    rename, made_from = os.rename, {"rule": "tile_slide"}

    def write(folder):
        (folder / "tiles.bin").write_bytes(b"tiles")

    def later(source, target):
        monkeypatch.setattr(units.os, "rename", rename)
        make_unit(target, made_from, write, None)
        rename(source, target)

    monkeypatch.setattr(units.os, "rename", later)
    make_unit(tmp_path / "s1", made_from, write, None)
    assert [file.name for file in tmp_path.iterdir()] == ["s1"]
    assert manifest(tmp_path / "s1")["verdict"] == "ok" and find_damage(tmp_path)[1] == []


@pytest.fixture
def disk(tmp_path):
    """A disk of 1 MB."""
    with small_disk(tmp_path / "disk", 1) as disk:
        yield disk


def test_a_full_disk_leaves_nothing_half_made_and_room_is_enough_to_go_on(disk):
    def write(folder):
        (folder / "tiles.bin").write_bytes(bytes(600_000))

    ballast = disk / "ballast"
    ballast.write_bytes(bytes(600_000))
    with pytest.raises(OSError, match="No space left") as full:
        make_unit(disk / "s1", {"rule": "tile_slide"}, write, None)
    assert full.value.errno == errno.ENOSPC and with_code(full.value).startswith("E_DISK: ")
    assert [file.name for file in disk.iterdir()] == ["ballast"]
    ballast.unlink()
    make_unit(disk / "s1", {"rule": "tile_slide"}, write, None)
    assert find_damage(disk) == (1, [])


def test_a_log_that_breaks_off_is_of_a_full_disk_or_of_a_killed_job(disk):
    log = disk / "a.log"
    log.write_text("2026-11-29 12:00:00,000 INFO begun\n")
    ballast = fill(disk)
    assert read_failure("tile_slide", log).code == "E_DISK"
    ballast.unlink()
    assert read_failure("tile_slide", log).code == "E_KILLED"
    assert [file.name for file in disk.iterdir()] == ["a.log"]
