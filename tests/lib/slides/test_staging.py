"""A slide on a local disk: where it is read from, and that nothing of it is left."""

import errno
import os
import shutil
import stat
import subprocess
from collections import namedtuple

import pytest

from tests.stored import serving, use
from workflow.lib.jobs.drafts import place
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides import staging
from workflow.lib.slides.buckets import ObjectPath, StorageError
from workflow.lib.slides.staging import staged


@pytest.fixture
def slide(tmp_path):
    """A MIRAX slide of three files, and another slide beside it."""
    folder = tmp_path / "network"
    (folder / "a" / "deep").mkdir(parents=True)
    for name in ("a.mrxs", "a/Slidedat.ini", "a/deep/Data0.dat", "b.mrxs"):
        (folder / name).write_bytes(name.encode())
    return folder / "a.mrxs"


def files(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_without_a_scratch_a_file_is_read_where_it_is(slide):
    with staged(slide, None) as file:
        assert file == slide


def test_a_slide_is_copied_with_what_belongs_to_it_and_removed_after(slide, tmp_path):
    scratch = tmp_path / "not" / "there"
    with staged(slide, scratch) as file:
        (folder,) = scratch.iterdir()
        assert file == folder / "a.mrxs" and stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert files(folder) == ["a.mrxs", "a/Slidedat.ini", "a/deep/Data0.dat"]
        assert (folder / "a/deep/Data0.dat").read_bytes() == b"a/deep/Data0.dat"
    assert list(scratch.iterdir()) == [] and len(files(slide.parent)) == 4


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_copy_goes_also_when_the_work_fails(slide, tmp_path, error):
    with pytest.raises(error), staged(slide, tmp_path / "scratch"):
        raise error
    assert list((tmp_path / "scratch").iterdir()) == []


def test_copies_of_dead_processes_of_this_host_go(slide, tmp_path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    host, scratch = place(), tmp_path / "scratch"
    left = f".microtome.{dead.pid}@{host}@x1"
    kept = [
        f".microtome.{os.getpid()}@{host}@x2",  # of a process that is alive
        f".microtome.{dead.pid}@{host}-2@x3",  # of another host: who knows
        f".microtome.{dead.pid}@2-{host}@x4",
        f".other.{dead.pid}@{host}@x5",
        f".microtome.x@{host}@x6",
    ]
    for name in (left, *kept):
        (scratch / name / "a").mkdir(parents=True)
        (scratch / name / "a" / "Data0.dat").write_bytes(b"pixels")
    with staged(slide, scratch):
        pass
    assert sorted(p.name for p in scratch.iterdir()) == sorted(kept)


def test_a_slide_that_does_not_fit_is_not_begun(slide, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    sizes = sum(len(name) for name in ("a.mrxs", "a/Slidedat.ini", "a/deep/Data0.dat"))
    for free, fits in ((sizes, True), (sizes - 1, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(9, 9, free))
        if fits:
            with staged(slide, tmp_path / "scratch"):
                continue
        with pytest.raises(StorageError) as caught, staged(slide, tmp_path / "scratch"):
            pass
    reason = f"a.mrxs needs {sizes} bytes, {sizes - 1} are free"
    place = tmp_path / "scratch"
    assert str(caught.value) == f"E_SCRATCH: slides cannot be copied to {place} ({reason})."
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_meanwhile_is_said(slide, tmp_path, monkeypatch, number):
    def copyfile(source, target):
        target.write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(StorageError, match="E_SCRATCH: .*(No space|quota)"):
        staged(slide, tmp_path / "scratch").__enter__()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_scratch_may_name_a_variable_of_the_job(slide, tmp_path, monkeypatch):
    monkeypatch.setenv("JOBS_OWN", str(tmp_path / "own"))
    with staged(slide, "$JOBS_OWN/slides") as file:
        assert file.parents[1] == tmp_path / "own" / "slides"
    monkeypatch.delenv("JOBS_OWN")
    with pytest.raises(StorageError, match=r"E_SCRATCH: \$JOBS_OWN/slides names a variable"):
        staged(slide, "$JOBS_OWN/slides").__enter__()


def test_a_scratch_that_is_no_folder_is_said(slide, tmp_path):
    with pytest.raises(StorageError, match="E_SCRATCH: slides cannot be copied to .*b.mrxs"):
        staged(slide, slide.with_name("b.mrxs")).__enter__()


def test_a_file_that_is_gone_puts_its_slide_aside(slide, tmp_path):
    with pytest.raises(Quarantine, match="E_IO: c.svs: copying to .* failed .No such file"):
        staged(slide.with_name("c.svs"), tmp_path / "scratch").__enter__()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_file_that_changes_while_it_is_copied_puts_its_slide_aside(slide, tmp_path, monkeypatch):
    def copyfile(source, target, copy=shutil.copyfile):
        copy(source, target)
        slide.write_bytes(b"replaced")

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(Quarantine, match="E_IO: a.mrxs: the file changed while it was read."):
        staged(slide, tmp_path / "scratch").__enter__()
    assert list((tmp_path / "scratch").iterdir()) == []


def test_objects_are_staged_as_files_are(slide, tmp_path, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(staging.tempfile, "gettempdir", lambda: str(temporary))
    with serving() as storage:
        use(storage, monkeypatch, tmp_path)
        names = files(slide.parent)
        (path, *_) = [storage.put(f"n/{name}", slide.parent / name) for name in names]
        for scratch, place in ((None, temporary), (tmp_path / "scratch", tmp_path / "scratch")):
            with staged(path, scratch) as file:
                assert file.parents[1] == place and file.name == "a.mrxs"
                found = {name: (file.parent / name).read_bytes() for name in files(file.parent)}
            assert found == {name: name.encode() for name in names[:3]}
            assert list(place.iterdir()) == []
        with pytest.raises(StorageError, match="E_OBJECT"):
            staged(ObjectPath("no-bucket", "c.svs"), None).__enter__()
        assert list(temporary.iterdir()) == []
