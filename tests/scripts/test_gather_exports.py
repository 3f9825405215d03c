"""Folders for other programs: flat, linked, checked by verify, made anew when a slide changes."""

import errno
import json
import os

import pytest

from tests.scripts import exported
from workflow.lib.jobs.units import manifest
from workflow.tools import verify

USABLE = ["a1", "a2", "b", "c", "d", "e", "empty"]


@pytest.fixture
def study(tmp_path):
    exported.build(tmp_path)
    exported.write_features(tmp_path)
    return tmp_path


def test_slides_lie_flat_where_a_program_looks(study):
    trident = exported.gather(study, "trident", "feature_files")
    assert sorted(file.name for file in trident.glob("*.h5")) == [f"{s}.h5" for s in USABLE]
    clam = exported.gather(study, "clam", "feature_files")
    for folder, suffix in (("pt_files", "pt"), ("h5_files", "h5")):
        found = sorted(file.name for file in (clam / folder).iterdir())
        assert found == [f"{slide}.{suffix}" for slide in USABLE]
    assert manifest(clam)["facts"] == {"program": "clam", "n_files": 2 * len(USABLE)}


def test_files_are_linked(study):
    folder = exported.gather(study, "stamp", "feature_files")
    source = study / "feature_files/a1/stamp.h5"
    assert (folder / "a1.h5").samefile(source)


def test_where_nothing_can_be_linked_files_are_copied(study, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    folder = exported.gather(study, "stamp", "feature_files")
    source = study / "feature_files/a1/stamp.h5"
    assert (folder / "a1.h5").read_bytes() == source.read_bytes()
    assert not (folder / "a1.h5").samefile(source)


def verified(study, capsys):
    return verify.main([str(study / "exports")]), capsys.readouterr().out


def test_verify_checks_the_folders(study, capsys):
    folder = exported.gather(study, "stamp", "feature_files")
    status, said = verified(study, capsys)
    assert (status, "0 problems" in said) == (0, True)
    (folder / "b.h5").unlink()
    (folder / "notes.txt").write_text("mine")
    status, said = verified(study, capsys)
    assert status == 1
    assert f"{folder / 'b.h5'}: is missing" in said
    assert f"{folder / 'notes.txt'}: is not in the manifest" in said
    assert "made by gather_exports: stamp" in said


def test_only_what_changed_makes_the_folder_anew(study):
    exported.gather(study, "stamp", "feature_files")
    index = study / "exports/stamp.json"
    made = (study / "exports/stamp/manifest.json").stat().st_mtime_ns
    exported.gather(study, "stamp", "feature_files")
    assert (study / "exports/stamp/manifest.json").stat().st_mtime_ns == made
    before = json.loads(index.read_text())["units"]["stamp"]["recipe"]
    exported.write_features(study, ["stamp"])
    exported.gather(study, "stamp", "feature_files")
    assert json.loads(index.read_text())["units"]["stamp"]["recipe"] != before
