"""A first slide sheet from file names: ids, and the patients and labels that names are sure of."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

# Names that public collections define, and the part that is the patient.
PATIENTS = {
    "TCGA": re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(?=[-._]|$)"),
    "CPTAC": re.compile(r"C3[LN]-[0-9]{5}(?=[-._]|$)"),
    "GTEx": re.compile(r"GTEX-[A-Z0-9]{4,5}(?=-[0-9]{4}(?:[-._]|$))"),
    "CAMELYON17": re.compile(r"patient_[0-9]{3}(?=_node_[0-9]+(?:[-._]|$))"),
}
CLASS = re.compile(r"\w[\w .+/()-]{0,49}")  # as the schema of the config has it
MAX_CLASSES = 10  # more sub-folders than this are patients or batches
PARTS = {"train", "training", "val", "validation", "valid", "test", "testing"}  # of a split
MASKED = re.compile(r"(mask|anno|annotation|label|truth|gt|seg)s?", re.IGNORECASE)


def guess_patient(name: str) -> str | None:
    """The patient in the name of a slide, where the collection that it is from defines it.

    >>> guess_patient("TCGA-02-0001-01Z-00-DX1.83fce43e"), guess_patient("slide-17")
    ('TCGA-02-0001', None)
    """
    found = (pattern.match(name) for pattern in PATIENTS.values())
    return next((match[0] for match in found if match), None)


def alike(slides: Sequence[str]) -> list[list[str]]:
    """Ids that differ only in what follows their last `-`, `_`, `.`, after a part with a digit.

    A question and no answer: blocks of one case are named so, and so are other things.

    >>> alike(["S22-2107_C1", "S22-2107_C2", "S22-2044_A1", "normal-01", "normal-02"])
    [['S22-2107_C1', 'S22-2107_C2']]
    """
    found: dict[str, list[str]] = {}
    for slide in slides:
        case = re.match(r"(.*[0-9].*)[-_.][^-_.]+$", slide)
        if case:
            found.setdefault(case[1], []).append(slide)
    return [names for names in found.values() if len(names) > 1]


def slide_ids(files: Sequence[PurePath]) -> list[str]:
    """An id for each of `files`, relative and without their endings; all differ, whatever case.

    The name of the file; of files that share it, their folders too; a number where that is not
    enough. What an id may not hold becomes an underscore.
    """
    short = [_identifier(file.name) for file in files]
    common = Counter(name.casefold() for name in short)
    ids, taken = [], set()
    for file, name in zip(files, short, strict=True):
        if common[name.casefold()] > 1:
            name = _identifier("_".join(file.parts))
        wanted, number = name, 1
        while name.casefold() in taken:
            number += 1
            name = f"{wanted[:90]}-{number}"
        taken.add(name.casefold())
        ids.append(name)
    return ids


def folder_labels(files: Sequence[PurePath]) -> tuple[list[str] | None, str]:
    """The sub-folder of each of `files` (relative) as its label, or None; and a sentence on it.

    None unless every file lies in one of 2 to MAX_CLASSES sub-folders of two files at least, with
    names that can be classes and are not those of a split.
    """
    if not files or any(len(file.parts) < 2 for file in files):
        return None, "not all slides lie in sub-folders, so that these say no label"
    labels = [_word(file.parts[0]) for file in files]
    counts = Counter(labels)
    if len(counts) < 2:
        return None, "there is one sub-folder only, which tells nothing apart"
    if {name.casefold() for name in counts} <= PARTS:
        return None, f"the sub-folders {', '.join(sorted(counts))} are parts of a split"
    if len(counts) > MAX_CLASSES or min(counts.values()) < 2:
        return None, (
            f"{len(counts)} sub-folders, of {min(counts.values())} to {max(counts.values())} "
            "slides, look like patients or batches"
        )
    if unfit := [name for name in sorted(counts) if not CLASS.fullmatch(name)]:
        return None, f"the sub-folder {unfit[0]!r} has no name that a class may have"
    if len({name.casefold() for name in counts}) < len(counts):
        return None, "names of sub-folders differ only in case"
    found = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    return labels, f"the names of the sub-folders: {found}"


def is_mask(file: PurePath) -> bool:
    """Whether a picture is called, or lies in a folder called, as pixel truth is.

    >>> [is_mask(PurePath(name)) for name in ("masks/a.png", "a_anno.bmp", "unmasked/label-1.png")]
    [True, True, False]
    """
    end = re.split(r"[-_. ]", file.stem)[1:][-1:]
    return any(MASKED.fullmatch(name) for name in (*file.parts[:-1], *end))


def _identifier(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", plain).lstrip("._-")[:100] or "slide"
    return f"{name[:99]}_" if name.lower().endswith(".json") else name


def _word(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())
