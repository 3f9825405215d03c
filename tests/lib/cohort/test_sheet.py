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


BAD_ROWS = {
    "id with a path": ("../x a.svs p1 normal", "slide '../x' is not an id"),
    "id with a slash": ("/x a.svs p1 normal", "slide '/x' is not an id"),
    "id with a command": ("$(touch) a.svs p1 normal", "is not an id"),
    "id with a semicolon": ("x;y a.svs p1 normal", "is not an id"),
    "id like an option": ("-rf a.svs p1 normal", "is not an id"),
    "id like a wildcard": ("{s} a.svs p1 normal", "is not an id"),
    "id of 101 letters": (f"{'x' * 101} a.svs p1 normal", "is not an id"),
    "id with an accent": ("é a.svs p1 normal", "is not an id"),
    "id of an index": ("x.JSON a.svs p1 normal", "is not an id"),
    "no id": (" a.svs p1 normal", "slide '' is not an id"),
    "no path": ("x  p1 normal", "path is empty"),
    "no file": ("x nowhere.svs p1 normal", "path 'nowhere.svs' is not a file"),
    "a folder": ("x . p1 normal", "path '.' is not a file"),
    "a NUL": ("x \0 p1 normal", "path '\\x00' is not a file"),
    "no patient": ("x a.svs  normal", "patient is empty"),
    "zero-width space": ("x a.svs p\u200b1 normal", "patient 'p\\u200b1' holds invisible"),
    "no label": ("x a.svs p1 ", "label is empty; write one of normal, tumour"),
    "unknown label": ("x a.svs p1 tumor", "label 'tumor' is not in labels.classes (normal,"),
    "ragged": ("x a.svs p1", "3 cells under 4 columns"),
    "open quote": ('"x a.svs p1 normal', "cannot be read as cells"),
}


@pytest.mark.parametrize("row, said", BAD_ROWS.values(), ids=BAD_ROWS)
def test_refuses_row(tmp_path, row, said):
    lines = faults(write(tmp_path, *GOOD[:1], "ok c.svs p3 tumour", row))
    about = [line for line in lines if line.startswith("line 4: ")]
    assert any(said in line for line in about), lines
    assert all(line.startswith("line 4: ") or "already" in line for line in lines)


BAD_CELLS = {
    "mpp of zero": ("mpp", "0", "mpp '0' is not a number above 0"),
    "negative mpp": ("mpp", "-0.5", "mpp '-0.5'"),
    "mpp that is no number": ("mpp", "nan", "mpp 'nan'"),
    "endless mpp": ("mpp", "1e999", "mpp '1e999'"),
    "decimal comma": ("mpp", "0,25", "mpp '0,25' is not a number above 0; write um per pixel"),
    "unknown split": ("split", "testing", "split 'testing' is not known; write train, val, test"),
    "negative fold": ("fold", "-1", "fold '-1' is not a number"),
    "fold of a half": ("fold", "0.5", "fold '0.5' is not a number"),
    "short checksum": ("sha256", "abc", "sha256 'abc' is not 64 hexadecimal digits"),
    "no mask": ("mask", "m.png", "mask 'm.png' is not a file"),
    "no points": ("points", "p.tsv", "points 'p.tsv' is not a file"),
    "no tissue": ("tissue", "t.geojson", "tissue 't.geojson' is not a file"),
}


@pytest.mark.parametrize("column, cell, said", BAD_CELLS.values(), ids=BAD_CELLS)
def test_refuses_cell(tmp_path, column, cell, said):
    rows = (f"x a.svs p1 normal {cell}", f"y b.svs p2 tumour {cell}")
    lines = faults(write(tmp_path, *rows, header=f"slide path patient label {column}"))
    assert any(line.startswith("line 2: ") and said in line for line in lines)
    assert any(line.startswith("line 3: ") for line in lines)


BAD_HEADERS = {
    "no patient": ("slide path label", "line 1: there is no column patient; add it"),
    "no label": ("slide path patient", "line 1: there is no column label; add it, or set"),
    "typing error": ("slide path patient labl", "unknown column 'labl'; did you mean label?"),
    "foreign column": ("slide path patient label zzz", "unknown column 'zzz'; known are slide,"),
    "twice": ("slide path patient label label", "column 'label' stands 2 times; keep one"),
    "commas": ("slide,path,patient,label", "separated by commas; save it with tabs"),
}


@pytest.mark.parametrize("header, said", BAD_HEADERS.values(), ids=BAD_HEADERS)
def test_refuses_header(tmp_path, header, said):
    assert any(said in line for line in faults(write(tmp_path, header=header)))


CONFLICTS = {
    "id twice": (
        ["x a.svs p1 normal", "x b.svs p2 tumour"],
        "line 3: slide 'x' is already on line 2; ids must differ in more than case",
    ),
    "id in capitals": (
        ["x a.svs p1 normal", "X b.svs p2 tumour"],
        "line 3: slide 'X' is already on line 2; ids must differ in more than case",
    ),
    "file twice": (
        ["x a.svs p1 normal", "y ./a.svs p2 tumour"],
        "line 3: path './a.svs' is already on line 2; a file can be one slide only",
    ),
    "patient in capitals": (
        ["x a.svs p1 normal", "y b.svs P1 tumour"],
        "line 3: patient 'P1' is written 'p1' on line 2; write one patient in one way",
    ),
    "class without slides": (
        ["x a.svs p1 normal", "y b.svs p2 normal"],
        "line 1: no slide is labelled 'tumour'; add some, or take it out of labels.classes",
    ),
}


@pytest.mark.parametrize("rows, said", CONFLICTS.values(), ids=CONFLICTS)
def test_refuses_conflict(tmp_path, rows, said):
    assert faults(write(tmp_path, *rows)) == [said]


SPLITS = {
    "split half filled": (
        "split",
        ["train", ""],
        ["line 3: split is empty but given on line 2; fill all rows or none"],
    ),
    "patient across": (
        "split",
        ["train", "test"],
        [
            "line 3: patient 'p' is in split test here and in train on line 2; "
            "a patient belongs to one"
        ],
    ),
    "patient across folds": (
        "fold",
        ["0", "1"],
        ["line 3: patient 'p' is in fold 1 here and in 0 on line 2; a patient belongs to one"],
    ),
    "one fold": (
        "fold",
        ["0", "0"],
        ["line 2: the column fold holds 0; use 0, 1, ... without a gap, two at least"],
    ),
}


@pytest.mark.parametrize("column, cells, said", SPLITS.values(), ids=SPLITS)
def test_refuses_split(tmp_path, column, cells, said):
    rows = (f"x a.svs p normal {cells[0]}", f"y b.svs p tumour {cells[1]}")
    path = write(tmp_path, *rows, header=f"slide path patient label {column}")
    assert faults(path) == said


def test_refuses_split_beside_fold(tmp_path):
    rows = ("x a.svs p1 normal train 0", "y b.svs p2 tumour test 1")
    lines = faults(write(tmp_path, *rows, header="slide path patient label split fold"))
    said = "split and fold are both given; keep one of the two columns"
    assert lines == [f"line 2: {said}", f"line 3: {said}"]


def test_same_checksum_is_the_same_slide(tmp_path):
    rows = (f"x a.svs p1 normal {'0' * 64}", f"y b.svs p2 tumour {'0' * 64}")
    (line,) = faults(write(tmp_path, *rows, header="slide path patient label sha256"))
    assert line.endswith("is already on line 2; the same content can be one slide only")


def test_lists_everything_at_once_in_order(tmp_path):
    rows = ("../x a.svs p1 tumor", "y gone.svs p2 normal", "z b.svs", "v c.svs p3 tumour")
    lines = faults(write(tmp_path, *rows))
    assert [line.split(":")[0] for line in lines] == ["line 2", "line 2", "line 3", "line 4"]


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
