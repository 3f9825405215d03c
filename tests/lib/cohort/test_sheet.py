"""The slide sheet: what is accepted, what is refused and in which words."""

import os
import string
import unicodedata
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.cohort import sheet_faults
from workflow.lib.cohort.sheet import SheetError, Slide, read_sheet, read_slides

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "../shared/data"
CLASSES = ["normal", "tumour"]
REFUSED = yaml.safe_load((ROOT / "tests/cases/sheets/refused.yaml").read_text())


def write(folder: Path, *rows: str, header: str = "slide path patient label", end: str = "\n"):
    """A sheet of rows with spaces for tabs, and an empty file for every path a.svs, b.svs, ..."""
    for name in string.ascii_lowercase[:6]:
        (folder / f"{name}.svs").touch()
    path = folder / "slides.tsv"
    text = end.join(line.replace(" ", "\t") for line in (header, *rows)) + end
    path.write_bytes(text.encode())
    return path


def read(path: Path, classes: list[str] = CLASSES, labels_needed: bool = True) -> list[Slide]:
    return read_sheet(path, classes=classes, labels_needed=labels_needed)


def faults(path: Path, **kwargs) -> list[str]:
    """The lines of the error, without its first."""
    with pytest.raises(SheetError) as caught:
        read(path, **kwargs)
    first, *lines = str(caught.value).split("\n")
    assert first.startswith(str(path))
    return [line.strip() for line in lines]


GOOD = ("001 a.svs p1 normal", "002 b.svs p2 tumour")


def test_reads_text_and_sorts(tmp_path):
    slides = read(write(tmp_path, *reversed(GOOD)))
    assert slides == [
        Slide("001", tmp_path / "a.svs", "p1", "normal"),
        Slide("002", tmp_path / "b.svs", "p2", "tumour"),
    ]


def test_reads_every_column(tmp_path):
    (tmp_path / "m.png").touch()
    (tmp_path / "t.geojson").touch()
    (tmp_path / "p.tsv").touch()
    header = "sha256 points tissue mask mpp fold site label patient path slide"
    path = write(
        tmp_path,
        f"{'AB' * 32} p.tsv t.geojson m.png 2.5e-1 1 north normal p1 a.svs x",
        "     0  tumour p2 b.svs y",
        header=header,
    )
    first, second = read(path)
    assert first == Slide(
        slide="x",
        path=tmp_path / "a.svs",
        patient="p1",
        label="normal",
        site="north",
        mpp=0.25,
        mask=tmp_path / "m.png",
        tissue=tmp_path / "t.geojson",
        points=tmp_path / "p.tsv",
        sha256="ab" * 32,
        fold=1,
    )
    assert second == Slide("y", tmp_path / "b.svs", "p2", "tumour", fold=0)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("quoted", [False, True])
def test_what_spreadsheets_save(tmp_path, end, mark, quoted):
    path = write(tmp_path, *GOOD, "\t\t\t", "", end=end)
    raw = path.read_bytes()
    if quoted:
        raw = raw.replace(b"p1", b'"p1"')
    path.write_bytes(mark + raw)
    assert read(path) == read(write(tmp_path, *GOOD))


def test_paths_start_at_the_sheet_and_may_hold_anything(tmp_path):
    folder = tmp_path / "sl ide é"
    folder.mkdir()
    (folder / "a b.svs").touch()
    path = write(tmp_path, *GOOD[1:], header="slide path patient label")
    path.write_text(path.read_text() + f"x\t{folder.name}/a b.svs\tp9\tnormal\n")
    assert read(path)[1].path == folder / "a b.svs"


def test_link_keeps_its_name_but_is_no_second_slide(tmp_path):
    path = write(tmp_path, "x link.svs p1 normal", "y b.svs p2 tumour")
    (tmp_path / "link.svs").symlink_to("a.svs")
    assert read(path)[0].path == tmp_path / "link.svs"
    path = write(tmp_path, "x link.svs p1 normal", "y a.svs p2 tumour")
    assert faults(path) == [
        "line 3: path 'a.svs' is already on line 2; a file can be one slide only"
    ]


def test_a_patient_typed_in_two_ways_is_one(tmp_path):
    composed, decomposed = "M\u00fcller  A", unicodedata.normalize("NFD", " M\u00fcller A ")
    path = write(tmp_path, "x a.svs ? normal", "y b.svs ! tumour")
    path.write_text(path.read_text().replace("?", composed).replace("!", decomposed))
    assert {slide.patient for slide in read(path)} == {"Müller A"}


def test_labels_mean_nothing_without_classes(tmp_path):
    path = write(tmp_path, "x a.svs p1 whatever", "y b.svs p2 ")
    assert [slide.label for slide in read(path, [], False)] == [None, None]
    assert read_slides(path, labelled=False) == read(path, [], False)


def test_read_slides_reads_what_read_sheet_accepted_even_when_files_left(tmp_path):
    path = write(tmp_path, *GOOD)
    slides = read(path)
    (tmp_path / "a.svs").unlink()
    assert read_slides(path, labelled=True) == slides
    path.write_text("slide\tpath\nx\n")
    with pytest.raises(SheetError, match="line 2: 1 cell under 2 columns"):
        read_slides(path, labelled=True)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case['row']}-{case['fault']}")
def test_a_sheet_that_cannot_be_is_refused_line_by_line(tmp_path, case):
    header = case.get("header", "slide path patient label")
    assert faults(write(tmp_path, *case["rows"], header=header)) == case["says"]


@pytest.mark.parametrize(
    "raw, said",
    [
        (b"", "is empty; it needs slide, path, patient"),
        (b"\n\n", "is empty"),
        (b"slide\tpath\tpatient\tlabel\n", "no slide below the header"),
        ("slide\tpath".encode("utf-16"), "is not UTF-8; save it as UTF-8 text"),
    ],
)
def test_refuses_sheet(tmp_path, raw, said):
    path = tmp_path / "slides.tsv"
    path.write_bytes(raw)
    with pytest.raises(SheetError, match=said):
        read(path)


def test_missing_sheet(tmp_path):
    with pytest.raises(SheetError, match="nowhere.tsv: the slide sheet cannot be read"):
        read(tmp_path / "nowhere.tsv")


@settings(max_examples=200)
@given(text=st.text(), heading=st.booleans())
def test_any_text_is_read_or_refused(tmp_path_factory, text, heading):
    path = tmp_path_factory.getbasetemp() / "any.tsv"
    path.write_bytes(("slide\tpath\tpatient\tlabel\n" * heading + text).encode("utf-8", "ignore"))
    with pytest.raises(SheetError):  # nothing that text() draws names a file
        read(path)


@settings(max_examples=200)
@given(cells=st.lists(st.text(), min_size=11, max_size=11))
def test_any_cells_are_read_or_refused(tmp_path_factory, cells):
    folder = tmp_path_factory.getbasetemp()
    (folder / "a.svs").touch()
    cells[1] = "a.svs"
    path = folder / "cells.tsv"
    lines = "\t".join(sheet_faults.COLUMNS), "\t".join(cells)
    path.write_bytes("\n".join(lines).encode("utf-8", "ignore"))
    try:
        (slide,) = read(path, [], False)
    except SheetError:
        return
    assert sheet_faults.SLIDE_ID.fullmatch(slide.slide)
    assert slide.patient == unicodedata.normalize("NFC", slide.patient).strip() != ""
    assert slide.split in (None, *sheet_faults.SPLITS)


@settings(max_examples=300)
@given(name=st.text(min_size=1))
def test_no_id_leaves_its_folder(tmp_path_factory, name):
    row = dict.fromkeys(sheet_faults.COLUMNS, "") | {"slide": name, "patient": "p", "path": "x"}
    said = list(sheet_faults.row_faults(row, Path(), [], labels_needed=False))
    if not any("is not an id" in fault for fault in said):
        assert set(name) <= set(string.ascii_letters + string.digits + "._-")
        assert name[0] not in ".-_" and len(name) <= 100
        assert os.path.normpath(f"tiles/{name}") == f"tiles/{name}"


def test_schema_describes_the_columns():
    schema = yaml.safe_load((ROOT / "workflow/schemas/slides.schema.yaml").read_text())
    described = schema["properties"]
    assert tuple(described) == sheet_faults.COLUMNS
    assert tuple(schema["required"]) == sheet_faults.REQUIRED
    assert tuple(described["split"]["enum"]) == sheet_faults.SPLITS
    end = r"(?![\s\S])"
    for column, pattern in (
        ("slide", sheet_faults.SLIDE_ID),
        ("fold", sheet_faults.FOLD),
        ("sha256", sheet_faults.SHA256),
    ):
        assert described[column]["pattern"] == f"^{pattern.pattern}{end}"


@pytest.mark.parametrize(
    "folder, classes, count",
    [
        ("glas", ["benign", "malignant"], 85),
        ("camelyon16_patches", ["normal", "tumor"], 57),
        ("slides", [], 8),
    ],
)
def test_real_sheets(folder, classes, count):
    path = DATA / folder / "slides.tsv"
    if not path.is_file():
        pytest.skip("the real slides are not on this machine")
    slides = read(path, classes, bool(classes))
    assert len(slides) == count
    assert all(slide.path.is_file() for slide in slides)
