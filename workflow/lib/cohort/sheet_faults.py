"""What can be wrong with a slide sheet, each as a sentence with the fix."""

import difflib
import math
import os
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path

from workflow.lib.slides.buckets import SCHEME, parse_address

REQUIRED = ("slide", "path", "patient")
COLUMNS = (*REQUIRED, "label", "site", "split", "fold", "mpp")
COLUMNS += ("mask", "tissue", "points", "sha256")
FILES = ("path", "mask", "tissue", "points")
SPLITS = ("train", "val", "test")
SLIDE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")
SCHEMES = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
FOLD = re.compile(r"[0-9]{1,2}")
SHA256 = re.compile(r"[0-9a-f]{64}")

Row = dict[str, str]  # column -> cell, "" where nothing is given
Problem = tuple[int, str]  # line of the sheet, what is wrong with it


def header_faults(header: list[str]) -> Iterator[str]:
    """What is wrong with the names of the columns."""
    if len(header) == 1 and re.search("[,;]", header[0]):
        yield "one column only: the sheet seems to be separated by commas; save it with tabs"
        return
    for name in dict.fromkeys(header):
        if header.count(name) > 1:
            yield f"column {_show(name)} stands {header.count(name)} times; keep one"
        if name not in COLUMNS:
            close = difflib.get_close_matches(name.casefold(), COLUMNS, 1)
            meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(COLUMNS)}"
            yield f"unknown column {_show(name)}; {meant}"
    for name in REQUIRED:
        if name not in header:
            yield f"there is no column {name}; add it"


def row_faults(row: Row, folder: Path, classes: list[str], *, labels_needed: bool) -> Iterator[str]:
    """What is wrong with one row, seen alone. `folder` is where relative paths start."""
    for column, cell in row.items():
        hidden = "Cc" if column in FILES else "C"  # a zero-width space makes a second patient
        if any(unicodedata.category(letter).startswith(hidden) for letter in cell):
            yield f"{column} {_show(cell)} holds invisible characters; type it again"
    # x.json would be the name of the index of a shard called x
    if not SLIDE_ID.fullmatch(row["slide"]) or row["slide"].lower().endswith(".json"):
        yield (
            f"slide {_show(row['slide'])} is not an id; use 1 to 100 letters, digits, dots, "
            "underscores and hyphens, a letter or digit first, and not .json at the end"
        )
    if not row["path"]:
        yield "path is empty; name the slide file"
    if not row["patient"]:
        yield "patient is empty; without it training and test cannot be kept apart"
    for column in FILES:
        if SCHEMES.match(row[column]):
            yield from _address_faults(column, row[column])
        elif row[column] and not os.path.isfile(folder / row[column]):
            yield (
                f"{column} {_show(row[column])} is not a file; "
                "paths are relative to the folder of the sheet"
            )
    if labels_needed and not row["label"]:
        yield f"label is empty; write one of {', '.join(classes)}"
    if classes and row["label"] and row["label"] not in classes:
        yield f"label {_show(row['label'])} is not in labels.classes ({', '.join(classes)})"
    if row["split"] and row["split"] not in SPLITS:
        yield f"split {_show(row['split'])} is not known; write {', '.join(SPLITS)}"
    if row["fold"] and not FOLD.fullmatch(row["fold"]):
        yield f"fold {_show(row['fold'])} is not a number; count folds from 0"
    if row["split"] and row["fold"]:
        yield "split and fold are both given; keep one of the two columns"
    if row["mpp"] and not _positive(row["mpp"]):
        yield f"mpp {_show(row['mpp'])} is not a number above 0; write um per pixel such as 0.25"
    if row["sha256"] and not SHA256.fullmatch(row["sha256"]):
        yield f"sha256 {_show(row['sha256'])} is not 64 hexadecimal digits; copy it again"


def conflicts(rows: list[tuple[int, Row]], folder: Path) -> Iterator[Problem]:
    """What is wrong with rows, with their line numbers, seen together."""
    yield from _repeats(
        rows, "slide", lambda row: row["slide"].casefold(), "ids must differ in more than case"
    )
    yield from _repeats(
        rows, "path", lambda row: _real(folder, row["path"]), "a file can be one slide only"
    )
    yield from _repeats(
        rows, "sha256", lambda row: row["sha256"], "the same content can be one slide only"
    )
    for column in ("split", "fold"):
        given = [line for line, row in rows if row[column]]
        for line, row in rows:
            if given and not row[column]:
                yield line, f"{column} is empty but given on line {given[0]}; fill all rows or none"
    yield from _fold_gaps(rows)
    yield from _patients(rows)


def _repeats(
    rows: list[tuple[int, Row]], column: str, key: Callable[[Row], Hashable], rule: str
) -> Iterator[Problem]:
    seen: dict[Hashable, int] = {}
    for line, row in rows:
        if row[column]:
            first = seen.setdefault(key(row), line)
            if first != line:
                yield line, f"{column} {_show(row[column])} is already on line {first}; {rule}"


def _fold_gaps(rows: list[tuple[int, Row]]) -> Iterator[Problem]:
    folds = {int(row["fold"]) for _, row in rows if FOLD.fullmatch(row["fold"])}
    if folds and (len(folds) < 2 or folds != set(range(len(folds)))):
        line = next(line for line, row in rows if row["fold"])
        listed = ", ".join(map(str, sorted(folds)))
        yield line, f"the column fold holds {listed}; use 0, 1, ... without a gap, two at least"


def _patients(rows: list[tuple[int, Row]]) -> Iterator[Problem]:
    """Patients that would be two people, or in two parts of a split."""
    seen: dict[str, tuple[int, Row]] = {}
    for line, row in rows:
        if not row["patient"]:
            continue
        who = _show(row["patient"])
        alike = unicodedata.normalize("NFKC", row["patient"]).casefold()
        first, other = seen.setdefault(alike, (line, row))
        if row["patient"] != other["patient"]:
            yield (
                line,
                f"patient {who} is written {_show(other['patient'])} on line {first}; "
                "write one patient in one way",
            )
        for column in ("split", "fold"):
            if row[column] and other[column] and row[column] != other[column]:
                yield (
                    line,
                    f"patient {who} is in {column} {row[column]} here and in {other[column]} "
                    f"on line {first}; a patient belongs to one",
                )


def _address_faults(column: str, cell: str) -> Iterator[str]:
    """What is wrong with an address. It is not shown: some hold a password."""
    scheme = SCHEMES.match(cell)[0]
    if column != "path":
        yield f"{column} begins with {scheme}; only slides are read from storage, give a file"
    elif scheme != SCHEME:
        yield f"path begins with {scheme}; slides are files, or objects as s3://bucket/key"
    elif not parse_address(cell):
        yield "path is no address of an object; write s3://bucket/key, without user and password"


def _real(folder: Path, cell: str) -> str:
    """The file behind links, so that a link is not a second slide."""
    return cell if "\0" in cell or parse_address(cell) else os.path.realpath(folder / cell)


def _positive(cell: str) -> bool:
    return bool(NUMBER.fullmatch(cell)) and 0 < float(cell) < math.inf


def _show(cell: str) -> str:
    return repr(cell) if len(cell) <= 60 else repr(cell[:57]) + "..."
