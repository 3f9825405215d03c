import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lib.mutators import focal_plane, good, replace
from workflow.lib.slides import probe as module
from workflow.lib.slides.probe import ROOT, probe

REAL = ROOT / "../shared/data/slides"
real_slides = pytest.mark.skipif(
    not REAL.is_dir(), reason="the real slides are not on this machine"
)
SETTINGS = {
    "mpp": None,
    "sha256": None,
    "timeout_s": 60.0,
    "memory_mb": 4096,
    "max_side_px0": 500_000,
    "mpp_min": 0.05,
    "mpp_max": 20.0,
    "max_bad_tiles": 0.001,
    "allow_fluorescence": False,
}


def test_a_good_slide_is_ok_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good(tmp_path / "slide.tif")
    monkeypatch.chdir(tmp_path)
    found = probe(Path("slide.tif"), **SETTINGS)
    assert (found["verdict"], found["sentence"]) == ("ok", None)
    assert found["facts"]["width_px0"] == 420


@pytest.mark.parametrize("name", [b"sl\xffide.tif", "slïde é $(touch x);.tif".encode()])
def test_any_file_name_is_only_a_name(name: bytes, tmp_path: Path) -> None:
    slide = tmp_path / os.fsdecode(name)
    try:
        good(tmp_path / "slide.tif").rename(slide)
    except OSError:
        pytest.skip("this file system takes no such name")
    assert probe(slide, **SETTINGS)["verdict"] == "ok"
    slide.write_bytes(b"")
    found = probe(slide, **SETTINGS)
    assert found["verdict"] == "E_EMPTY"
    assert found["sentence"].encode()  # is text
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("first", "expected", "asked"),
    [("E_IO", "ok", [100, 100]), ("E_OOM", "ok", [100, 200]), ("E_FORMAT", "E_FORMAT", [100])],
)
def test_what_may_pass_is_asked_once_more(
    first: str, expected: str, asked: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, limits = iter([first, "ok"]), []

    def answer(name: str, request: dict) -> dict:
        limits.append(request["memory_mb"])
        return {"verdict": next(answers)}

    monkeypatch.setattr(module, "_ask", answer)
    assert probe(tmp_path, **SETTINGS | {"memory_mb": 100})["verdict"] == expected
    assert limits == asked


def test_a_reader_that_cannot_start_is_not_blamed_on_the_slide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ImportError: no openslide' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(RuntimeError, match="does not start .*no openslide.*environment"):
        probe(tmp_path / "slide.tif", **SETTINGS)


def test_a_reader_stopped_by_the_system_was_short_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -9 $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(killed))
    assert probe(tmp_path / "slide.tif", **SETTINGS)["verdict"] == "E_OOM"


def test_the_reader_loads_little() -> None:
    heavy = ["torch", "zarr", "pandas", "sklearn", "matplotlib", "snakemake", "scipy"]
    code = "import sys, workflow.lib.slides.probe as _; heavy = sys.argv[1:];"
    code += " print([name for name in heavy if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code, *heavy], capture_output=True, text=True, cwd=ROOT
    )
    assert found.stdout == "[]\n", found.stderr


@real_slides
def test_real_slides_get_the_verdicts_that_they_deserve() -> None:
    with (REAL / "slides.tsv").open() as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    found = {row["slide"]: probe(REAL / row["path"], **SETTINGS) for row in rows}
    assert {slide: each["verdict"] for slide, each in found.items()} == {
        "cmu1": "ok",
        "cmu1-dicom": "ok",
        "dapi": "E_MODALITY",
        "os1": "ok",
        "os2": "ok",
        "cmu1-cut": "E_FORMAT",
        "unreadable": "E_TILE",
        "camelyon": "E_MPP",
    }
    assert found["cmu1"]["facts"]["warnings"] == []
    assert "labelled as RGB" in found["cmu1-dicom"]["facts"]["warnings"][0]
    assert "b414003d" not in repr(found)  # the operator named in cmu1
    coarse = probe(REAL / "camelyon_jpeg.dcm", **SETTINGS | {"mpp_max": 40.0})
    assert coarse["verdict"] == "ok"
    allowed = probe(REAL / "test3-DAPI-2-(387).ndpi", **SETTINGS | {"allow_fluorescence": True})
    assert allowed["verdict"] == "ok" and "dark" in allowed["facts"]["warnings"][0]


@real_slides
def test_dicom_that_says_fluorescence_is_believed(tmp_path: Path) -> None:
    slide = tmp_path / "slide.dcm"
    slide.write_bytes((REAL / "camelyon_jpeg.dcm").read_bytes())
    replace(slide, old="111741", new="111743")  # transmission to epifluorescence
    found = probe(slide, **SETTINGS | {"mpp_max": 40.0})
    assert found["verdict"] == "E_MODALITY" and "says it is fluorescence" in found["sentence"]


@real_slides
def test_a_hamamatsu_slide_with_two_focal_planes_is_a_stack(tmp_path: Path) -> None:
    slide = tmp_path / "slide.ndpi"
    slide.write_bytes((REAL / "test3-DAPI-2-(387).ndpi").read_bytes())
    found = probe(focal_plane(slide, level=1), **SETTINGS)
    assert found["verdict"] == "E_ZSTACK" and "2 focal planes" in found["sentence"]
