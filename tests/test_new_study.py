"""new_study: what it writes of a folder, that the workflow plans it, and what it says."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from tests.synthetic import make_cohort
from workflow.lib.cohort.sheet import read_sheet
from workflow.tools import new_study

ROOT = Path(__file__).resolve().parents[1]
SHEET, CONFIG = Path("studies/mine/slides.tsv"), Path("studies/mine/config.yaml")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder that a user works in."""
    monkeypatch.chdir(tmp_path)
    for part in ("Snakefile", "workflow", "config", "envs", "profiles"):
        Path(part).symlink_to(ROOT / part)
    return tmp_path


@pytest.fixture
def drawn(project):
    """Six slides in one folder."""
    make_cohort(project / "data", slides=6, side_px=512)
    return project / "data" / "slides"


def begin(capsys, *arguments):
    status = new_study.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return status, said.out + said.err


def plan():
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "workflow.tools.run", "-n", "--configfile", str(CONFIG)]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_after_labels_are_filled_in_the_workflow_plans_it(drawn, capsys):
    status, said = begin(capsys, drawn, "mine")
    assert status == 0 and "Wrote studies/mine/slides.tsv (6 slides)" in said
    lines = SHEET.read_text().splitlines()
    assert lines[:2] == [
        "slide\tpath\tpatient\tlabel\tmpp",
        "s01\t../../data/slides/s01.tif\ts01\t\t0.5",
    ]
    filled = [
        line.replace("\t\t", f"\t{'no' if n % 2 else 'yes'}\t") for n, line in enumerate(lines)
    ]
    SHEET.write_text("\n".join(filled) + "\n")
    CONFIG.write_text(CONFIG.read_text().replace("[FILL_IN]", '["no", "yes"]'))
    status, said = plan()
    assert status == 0, said
    assert "write_report" in said and "train_classifier" in said


def test_slides_that_begin_alike_are_asked_about(drawn, capsys):
    names = ["A1", "A2", "B1", "B2", "C1", "D1"]
    for slide, name in zip(sorted(drawn.iterdir()), names, strict=True):
        slide.rename(drawn / f"S22-{ord(name[0])} {name}.tif")
    status, said = begin(capsys, drawn, "mine")
    assert status == 0 and "begin alike" in said
    assert "S22-65_A1, S22-65_A2" in said and "S22-66_B1, S22-66_B2" in said
    assert "S22-67_C1" not in said


def test_sub_folders_are_labels_and_barcodes_patients(drawn, capsys):
    for n, slide in enumerate(sorted(drawn.iterdir())):
        folder = drawn / ("tumour" if n % 2 else "normal")
        folder.mkdir(exist_ok=True)
        slide.rename(folder / f"TCGA-02-000{n // 2}-01Z-00-DX{n}.tif")
    assert begin(capsys, drawn, "mine")[0] == 0
    config = yaml.safe_load(CONFIG.read_text())
    classes = config["labels"]["classes"]
    assert classes == ["normal", "tumour"] and config["labels"]["level"] == "image"
    slides = read_sheet(SHEET, classes=classes, labels_needed=True)
    assert [(s.patient, s.label) for s in slides] == [
        (f"TCGA-02-000{n // 2}", "tumour" if n % 2 else "normal") for n in range(6)
    ]


def test_patients_that_nobody_knows_are_said_loudly_and_others_not(drawn, capsys):
    _, said = begin(capsys, drawn)
    assert "!!! PATIENTS: 6 of 6 names" in said and "EVERY NUMBER IS TOO GOOD" in said
    assert "python -m workflow.tools.run --configfile studies/slides/config.yaml" in said
    for n, slide in enumerate(sorted(drawn.iterdir())):
        slide.rename(drawn / f"patient_00{n}_node_1.tif")
    _, said = begin(capsys, drawn, "known")
    assert "!!!" not in said and "taken from the names" in said


def test_slides_elsewhere_have_whole_paths(drawn, tmp_path_factory, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert begin(capsys, drawn, "mine")[0] == 0
    assert SHEET.read_text().splitlines()[1].split("\t")[1] == str(drawn / "s01.tif")


def test_what_is_wrong_with_files_is_said(drawn, capsys):
    cv2.imwrite(str(drawn / "plain.png"), np.full((300, 300, 3), 200, np.uint8))
    (drawn / "cut.svs").write_bytes((drawn / "s01.tif").read_bytes()[:5000])
    (drawn / "s02_mask.png").touch()
    status, said = begin(capsys, drawn, "mine")
    assert status == 0 and "(8 slides)" in said
    assert "where it is empty (1):\n     plain.png: the file states no usable pixel size." in said
    assert "1 of them cannot be used" in said and "cut.svs: the file is cut short" in said
    assert "Left out, 1 file(s): each looks like pixel truth" in said
    rows = {line.split("\t")[0]: line.split("\t")[-1] for line in SHEET.read_text().splitlines()}
    assert (rows["plain"], rows["cut"], rows["s01"]) == ("", "", "0.5")


def test_a_file_that_ends_its_reader_ends_nothing_else(tmp_path, monkeypatch):
    def open_reader(file, **limits):
        if file.name == "b.svs":
            os._exit(1)
        raise ValueError(f"{limits['mpp_min']}")

    monkeypatch.setattr(new_study, "open_reader", open_reader)  # processes are forked
    files = [tmp_path / f"{name}.svs" for name in "abc"]
    found = new_study.look_at(files)
    assert list(found) == files
    assert [seen.fault for seen in found.values()] == [
        "a.svs: it cannot be opened (ValueError).",
        "b.svs: opening it ends the reader.",
        "c.svs: it cannot be opened (ValueError).",
    ]


def test_nothing_is_ever_overwritten(drawn, capsys):
    assert begin(capsys, drawn, "mine")[0] == 0
    SHEET.write_text("mine")
    status, said = begin(capsys, drawn, "mine")
    assert status == 1 and "studies/mine/slides.tsv is there already" in said
    assert SHEET.read_text() == "mine"
    SHEET.unlink()
    status, said = begin(capsys, drawn, "mine")
    assert status == 1 and "studies/mine/config.yaml is there already" in said
    assert not SHEET.exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["data", "../x"], "'../x' is no name of a study"),
        (["data", "empty"], "data holds no slides (.svs, "),
    ],
)
def test_what_cannot_be_begun_leaves_nothing(project, capsys, arguments, fault):
    Path("data").mkdir()
    status, said = begin(capsys, *arguments)
    assert status == 1 and said.startswith("Nothing was written: ") and fault in said
    assert not Path("studies").exists()
