"""The slide sheet: which slides there are, whose they are and what is known about them."""

import csv
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from workflow.lib.cohort.sheet_faults import (
    COLUMNS,
    FILES,
    REQUIRED,
    Problem,
    Row,
    conflicts,
    header_faults,
    row_faults,
)
from workflow.lib.slides.buckets import ObjectPath, parse_address


class SheetError(ValueError):
    """A sheet that cannot be used. The message lists every bad row with its line and the fix."""


@dataclass(frozen=True)
class Slide:
    """One row of the sheet. `mpp` is in um per level-0 pixel and overrides what the file says.

    `path` is a file, or an object of a slide in object storage.
    """

    slide: str
    path: Path | ObjectPath | None
    patient: str
    label: str | None = None
    site: str | None = None
    mpp: float | None = None
    mask: Path | None = None
    tissue: Path | None = None
    points: Path | None = None
    sha256: str | None = None
    split: str | None = None
    fold: int | None = None


def read_sheet(path: Path, *, classes: list[str], labels_needed: bool) -> list[Slide]:
    """Read and check a tab-separated slide sheet; the slides, sorted by id.

    The sheet is UTF-8, with or without BOM and CRLF. Cells are text: an id such as 001 stays 001.
    They are trimmed, and words are brought to Unicode NFC with single spaces, so that a patient
    typed in two ways stays one patient. Relative paths start at the sheet's folder. Without
    `classes`, labels mean nothing and are left out.

    Raises `SheetError` with all bad rows at once.
    """
    header, rows, problems = _table(path)
    if labels_needed and "label" not in header:
        problems.append((1, "there is no column label; add it, or set labels.classes to []"))
    elif labels_needed:
        unseen = [name for name in classes if all(row["label"] != name for _, row in rows)]
        problems += [
            (1, f"no slide is labelled {name!r}; add some, or take it out of labels.classes")
            for name in unseen
        ]
    for line, row in rows:
        faults = row_faults(row, path.parent, classes, labels_needed=labels_needed)
        problems += [(line, fault) for fault in faults]
    problems += conflicts(rows, path.parent)
    _refuse(path, problems)
    return _slides(path, rows, labelled=bool(classes))


def read_slides(path: Path, *, labelled: bool) -> list[Slide]:
    """The slides of a sheet that `read_sheet` accepted before, without looking at their files.

    `labelled` is whether the study has classes; without, labels are left out as in `read_sheet`.
    Raises `SheetError` when the sheet can no longer be read as a table.
    """
    _, rows, problems = _table(path)
    _refuse(path, problems)
    return _slides(path, rows, labelled=labelled)


def _refuse(path: Path, problems: list[Problem]) -> None:
    if problems:
        listed = "\n".join(f"  line {line}: {fault}" for line, fault in sorted(problems))
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise SheetError(f"{path}: {count} in the slide sheet\n{listed}")


def _table(path: Path) -> tuple[list[str], list[tuple[int, Row]], list[Problem]]:
    """Header, rows with their line numbers, and the problems of lines that are no rows."""
    lines: list[tuple[int, list[str]]] = []
    problems: list[Problem] = []
    for number, text in enumerate(_text(path).split("\n"), start=1):
        try:
            row = next(csv.reader([text], delimiter="\t", strict=True), [])
        except csv.Error as error:  # an open quote: only this line is lost, not the rest
            problems.append((number, f"cannot be read as cells ({error}); remove the quotes"))
            continue
        row = [cell.strip() for cell in row]
        if any(row):
            lines.append((number, row))
    if not lines and not problems:
        raise SheetError(f"{path}: the slide sheet is empty; it needs {', '.join(REQUIRED)}")
    first, header = lines.pop(0) if lines else (1, list(REQUIRED))
    problems += [(first, fault) for fault in header_faults(header)]
    rows = []
    for number, row in lines:
        if len(row) == len(header):
            named = dict.fromkeys(COLUMNS, "") | dict(zip(header, row, strict=True))
            rows.append((number, {name: _word(name, cell) for name, cell in named.items()}))
        else:
            cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
            fault = f"{cells} under {len(header)} columns; keep one tab between cells, empty or not"
            problems.append((number, fault))
    if not rows and not problems:
        problems.append((first, "there is no slide below the header; add one row per slide"))
    return header, rows, problems


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SheetError(f"{path}: the slide sheet cannot be read ({error.strerror})") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SheetError(f"{path}: the slide sheet is not UTF-8; save it as UTF-8 text") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _word(column: str, cell: str) -> str:
    """The cell in one spelling. File names stay as they are: they are what the disk says."""
    if column in FILES:
        return cell
    cell = " ".join(unicodedata.normalize("NFC", cell).split())
    return cell.lower() if column == "sha256" else cell


def _slides(path: Path, rows: list[tuple[int, Row]], *, labelled: bool) -> list[Slide]:
    slides = [_slide(row, path.parent, labelled=labelled) for _, row in rows]
    return sorted(slides, key=lambda slide: slide.slide)


def _slide(row: Row, folder: Path, *, labelled: bool) -> Slide:
    # abspath keeps symbolic links: formats of many files look beside the name they were given
    files = {name: Path(os.path.abspath(folder / row[name])) for name in FILES if row[name]}
    return Slide(
        slide=row["slide"],
        path=parse_address(row["path"]) or files.get("path"),
        patient=row["patient"],
        label=(row["label"] or None) if labelled else None,
        site=row["site"] or None,
        mpp=float(row["mpp"]) if row["mpp"] else None,
        mask=files.get("mask"),
        tissue=files.get("tissue"),
        points=files.get("points"),
        sha256=row["sha256"] or None,
        split=row["split"] or None,
        fold=int(row["fold"]) if row["fold"] else None,
    )
