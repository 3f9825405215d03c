"""Slides by their address in object storage: what the sheet takes, and what it refuses."""

from pathlib import Path

import pytest

from workflow.lib.cohort.sheet import SheetError, read_sheet, read_slides
from workflow.lib.slides.buckets import ObjectPath


def write(
    folder: Path, *rows: tuple[str, ...], header=("slide", "path", "patient", "mask")
) -> Path:
    sheet = folder / "slides.tsv"
    sheet.write_text("\n".join("\t".join(row) for row in (header, *rows)) + "\n")
    (folder / "m.png").touch()
    return sheet


def read(sheet: Path):
    return read_sheet(sheet, classes=[], labels_needed=False)


def test_addresses_and_files_stand_side_by_side(tmp_path):
    (tmp_path / "b.svs").touch()
    sheet = write(
        tmp_path, ("x", "s3://cohort/2026/a b.svs", "p", "m.png"), ("y", "b.svs", "q", "")
    )
    first, second = read(sheet)
    assert first.path == ObjectPath("cohort", "2026/a b.svs") and first.mask == tmp_path / "m.png"
    assert second.path == tmp_path / "b.svs"
    assert read_slides(sheet, labelled=False) == [first, second]


@pytest.mark.parametrize(
    "column, cell, said",
    [
        ("path", "gs://cohort/a.svs", "begins with gs://; slides are files, or objects as s3://"),
        ("path", "https://me:hidden@host/a.svs?token=hidden", "path begins with https://;"),
        ("path", "S3://cohort/a.svs", "path begins with S3://;"),
        ("path", "file:///cohort/a.svs", "path begins with file://;"),
        ("path", "s3://me:hidden@cohort/a.svs", "write s3://bucket/key, without user and password"),
        ("path", "s3://cohort", "path is no address of an object; write s3://bucket/key"),
        ("path", "s3://cohort/folder/", "path is no address of an object"),
        ("mask", "s3://cohort/m.png", "mask begins with s3://; only slides are read from storage"),
    ],
)
def test_what_is_no_address_of_a_slide_is_refused_and_not_shown(tmp_path, column, cell, said):
    row = {"path": "s3://cohort/a.svs", "mask": ""} | {column: cell}
    with pytest.raises(SheetError) as caught:
        read(write(tmp_path, ("x", row["path"], "p", row["mask"])))
    (line,) = str(caught.value).splitlines()[1:]
    assert line.startswith("  line 2: ") and said in line and "hidden" not in line


def test_an_object_is_one_slide(tmp_path):
    row = ("s3://cohort/a.svs", "p", "")
    with pytest.raises(SheetError, match=r"path 's3://cohort/a.svs' is already on line 2"):
        read(write(tmp_path, ("x", *row), ("y", *row)))
    other = ("s3://cohort//a.svs", "p", "")  # another key
    assert len(read(write(tmp_path, ("x", *row), ("y", *other)))) == 2
