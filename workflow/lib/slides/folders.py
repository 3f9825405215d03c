"""Slides in a folder: which files to name in a sheet, one for each slide."""

import contextlib
import os
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

from workflow.lib.cohort.sheet_drafts import is_mask
from workflow.lib.jobs.identity import KEYFILES, companions

DICOM = ".dcm"
SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".svslide", ".tif", ".tiff", ".btf")
SLIDES += (*sorted(KEYFILES), DICOM)
IMAGES = (".png", ".jpg", ".jpeg", ".bmp")
MASKS = (".png", ".bmp", ".tif", ".tiff")


def find_slides(folder: Path) -> tuple[dict[Path, PurePath], dict[Path, str]]:
    """Files to name in the sheet -> what they are called, relative to `folder`; others -> why not.

    Of the many files of a DICOM slide one is named, and called as its folder where that holds
    nothing else. A picture that is part of another format is left out without a word.
    """
    listed = list(_walk(folder))
    indices = [file for file in listed if file.suffix.lower() in KEYFILES]
    parts = {part for file in indices for part in companions(file)}
    dicom = _gather(file for file in listed if file.suffix.lower() == DICOM)
    found, left_out = {}, {}
    for file in listed:
        called, suffix = file.relative_to(folder), file.suffix.lower()
        if suffix not in (*SLIDES, *IMAGES) or file in parts:
            continue
        if suffix == DICOM and file not in dicom:
            continue
        bare = called.with_suffix("")
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in str(file)):
            left_out[file] = "has a name that no table can hold: rename it"
        elif suffix in MASKS and is_mask(called):
            left_out[file] = "looks like pixel truth, for the column mask"
        elif len(dicom.get(file, ())) > 1 and len(called.parts) > 1 and _alone(file, dicom):
            found[file] = called.parent
        else:
            found[file] = bare.with_suffix("") if bare.suffix.lower() == ".ome" else bare
    return found, left_out


def _alone(file: Path, others: Iterable[Path]) -> bool:
    return sum(other.parent == file.parent for other in others) == 1


def _walk(folder: Path) -> Iterator[Path]:
    """Files in `folder` and below, sorted, links followed; each once, nothing that is hidden."""
    seen: set[str] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        fresh = [n for n in sorted(folders) if not n.startswith(".") and not n.endswith(".zarr")]
        folders[:] = [n for n in fresh if not _known(os.path.join(parent, n), seen)]
        for name in sorted(names):
            file = Path(parent, name)
            if not name.startswith(".") and file.is_file() and not _known(str(file), seen):
                yield file


def _known(path: str, seen: set[str]) -> bool:
    real = os.path.realpath(path)
    known = real in seen
    seen.add(real)
    return known


def _gather(files: Iterable[Path]) -> dict[Path, list[Path]]:
    """The file of each DICOM slide to name in a sheet -> all its files.

    Any file opens the slide; the largest holds the most pixels, so that a change is seen in it.
    """
    gathered, taken = {}, set()
    for file in files:
        if file not in taken:
            members = [file]
            with contextlib.suppress(OSError):  # the check of the study says why
                members += (other for other in companions(file) if other.suffix.lower() == DICOM)
            taken |= set(members)
            gathered[max(members, key=lambda other: (other.stat().st_size, other.name))] = members
    return gathered
