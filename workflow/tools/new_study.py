"""Begin a study: a slide sheet and a short config from a folder of slides.

    python -m workflow.tools.new_study FOLDER [NAME]     (or: make new-study SLIDES=FOLDER)

Looks at every file of the folder and of its sub-folders, writes studies/NAME/slides.tsv and
studies/NAME/config.yaml, never over older ones, and says what to fill in and what to type next.
The name is that of the folder, if none is given. Nothing of a slide but its size and its um per
pixel is read; patients are taken from names where a public collection defines them (TCGA, CPTAC,
GTEx, CAMELYON17), labels from sub-folders where these look like classes.
"""

import argparse
import csv
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import yaml
from tqdm import tqdm

from workflow.lib.cohort.sheet_drafts import alike, folder_labels, guess_patient, slide_ids
from workflow.lib.jobs.config_drafts import UNKNOWN_CLASS, Shape, config_text
from workflow.lib.jobs.recipe import ROOT
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.folders import IMAGES, SLIDES, find_slides
from workflow.lib.slides.slides import open_reader

COLUMNS = ("slide", "path", "patient", "label", "mpp")
SHOWN = 5  # files that are named where there are more
READERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Looked:
    """A slide as it was found: its shape, and a sentence where no study can use it as it is."""

    shape: Shape | None
    fault: str | None = None


def main(arguments: list[str]) -> int:
    """Write the two files; the exit status is 1 when nothing was written."""
    parser = argparse.ArgumentParser(
        prog="new_study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slides", type=Path, help="a folder that holds slides")
    parser.add_argument("name", nargs="?", help="of the study; default: that of the folder")
    options = parser.parse_args(arguments)
    folder = options.slides
    name = options.name or slide_ids([PurePath(folder.resolve().name)])[0]
    if fault := _refuse(folder, name):
        sys.stderr.write(f"Nothing was written: {fault}\n")
        return 1
    found, left_out = find_slides(folder)
    if not found:
        kinds = ", ".join((*SLIDES, *IMAGES))
        sys.stderr.write(f"Nothing was written: {folder} holds no slides ({kinds})\n")
        return 1
    sys.stdout.writelines(f"{line}\n" for line in write_study(name, found, left_out))
    return 0


def _refuse(folder: Path, name: str) -> str | None:
    """Why a study cannot be begun; None where it can."""
    if not folder.is_dir():
        return f"{folder} is not a folder"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        return f"{name!r} is no name of a study; use letters, digits, dots, underscores, hyphens"
    there = [file for file in _files_of(name) if os.path.lexists(file)]
    if there:
        return f"{there[0]} is there already; give another name (NAME=...), or remove it"
    return None


def _files_of(name: str) -> tuple[Path, Path]:
    return Path("studies", name, "slides.tsv"), Path("studies", name, "config.yaml")


def write_study(name: str, found: dict[Path, PurePath], left_out: dict[Path, str]) -> Iterator[str]:
    """Write sheet and config; lines on what was found, what to fill in and what to type next."""
    looked = look_at(list(found))
    called = list(found.values())
    labels, labelled_by = folder_labels(called)
    patients = [guess_patient(path.name) for path in called]
    sheet, config = _files_of(name)
    rows = [
        {
            "slide": slide,
            "path": _path(file, sheet.parent),
            "patient": patient or slide,
            "label": label,
            "mpp": _number(looked[file].shape),
        }
        for file, slide, patient, label in zip(
            found, slide_ids(called), patients, labels or [""] * len(called), strict=True
        )
    ]
    shapes = [seen.shape for seen in looked.values() if seen.shape]
    files = (sheet.as_posix(), config.as_posix())
    text = config_text(name, *files, shapes, sorted(set(labels or ())))
    sheet.parent.mkdir(parents=True, exist_ok=True)
    with sheet.open("x", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, COLUMNS, delimiter="\t", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    with config.open("x", encoding="utf-8") as stream:
        stream.write(text)
    yield f"Wrote {files[0]} ({len(rows)} slides) and {files[1]}."
    yield from _found(looked, left_out)
    yield from _next(rows, looked, files, patients.count(None), labelled_by)


def _path(file: Path, folder: Path) -> str:
    """How the sheet in `folder` names a file: relative where both lie in this project."""
    near = file.resolve().is_relative_to(Path.cwd())
    return os.path.relpath(file, folder) if near else os.path.abspath(file)


def _number(shape: Shape | None) -> str:
    """um per pixel as the sheet has it: what the file says, for people to see and to correct."""
    return f"{shape.mpp:.9g}" if shape and shape.mpp else ""


def _found(looked: dict[Path, Looked], left_out: dict[Path, str]) -> Iterator[str]:
    """What is not as it should be with files of the folder."""
    faults = [seen.fault for seen in looked.values() if not seen.shape]
    if faults:
        yield f"{len(faults)} of them cannot be used as they are; the run sets them aside:"
        yield from _few(faults)
    for reason in dict.fromkeys(left_out.values()):
        files = [str(file) for file, why in left_out.items() if why == reason]
        yield f"Left out, {len(files)} file(s): each {reason}."
        yield from _few(files)


def _next(
    rows: Sequence[dict],
    looked: dict[Path, Looked],
    files: tuple[str, str],
    guessed: int,
    labelled_by: str,
) -> Iterator[str]:
    """What to decide, and the commands that follow."""
    sheet, config = files
    labelled = bool(rows[0]["label"])
    unscaled = [seen.fault for seen in looked.values() if seen.shape and seen.fault]
    if guessed:
        yield ""
        yield f"!!! PATIENTS: {guessed} of {len(rows)} names do not say whose the slide is: each of"
        yield "!!! these counts as a patient of its own. CHECK THE COLUMN patient. Where two slides"
        yield "!!! are of one patient, training and test share it, and EVERY NUMBER IS TOO GOOD."
        pairs = alike([row["slide"] for row in rows if row["patient"] == row["slide"]])
        if pairs:
            yield "!!! These begin alike: blocks of one patient? Then write one id for them."
            yield from _few([", ".join(names) for names in pairs])
    yield ""
    yield f"1. Fill in {sheet} (a table separated by tabs; keep it so):"
    if labelled:
        yield f"   label: check it. It holds {labelled_by}."
    else:
        yield f"   label: write the class of each slide. It is empty, because {labelled_by}."
    yield "   patient: check it." if guessed else "   patient: taken from the names of the slides."
    if unscaled:
        yield f"   mpp: um per pixel (0.25 at 40x), where it is empty ({len(unscaled)}):"
        yield from _few(unscaled)
    yield "   mask: pixel truth, where you have any; this and other columns: config/README.md."
    yield f"2. Decide in {config} what is marked with >>>" + (
        "." if labelled else f"; {UNKNOWN_CLASS} stands for the classes."
    )
    yield "3. Type:"
    yield "   . .venv/bin/activate"
    yield f"   python -m workflow.tools.doctor --configfile {config}    # is anything missing?"
    yield f"   python -m workflow.tools.explain --configfile {config}   # what would be done"
    yield f"   python -m workflow.tools.run --configfile {config}       # do it"
    yield f"   The report will be results/{Path(config).parent.name}/report.html."


def _few(names: Sequence[str]) -> Iterator[str]:
    yield from (f"     {name}" for name in names[:SHOWN])
    if len(names) > SHOWN:
        yield f"     and {len(names) - SHOWN} more"


def look_at(files: Sequence[Path]) -> dict[Path, Looked]:
    """Each file as `look` sees it, in processes of their own: damage may end the one that reads."""
    defaults = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["check_slide"]
    limits = {key: value for key, value in defaults.items() if key != "max_bad_tiles"}
    found: dict[Path, Looked] = {}
    with ProcessPoolExecutor(READERS) as pool:
        asked = {file: pool.submit(look, file, **limits) for file in files}
        for file in tqdm(asked, desc="slides", unit="slide", disable=None, leave=False):
            try:
                found[file] = asked[file].result()
            except BrokenProcessPool:
                break
    for file in (file for file in files if file not in found):
        with ProcessPoolExecutor(1) as pool:
            try:
                found[file] = pool.submit(look, file, **limits).result()
            except BrokenProcessPool:
                found[file] = Looked(None, f"{file.name}: opening it ends the reader.")
    return {file: found[file] for file in files}


def look(file: Path, **limits: object) -> Looked:
    """Size and um per pixel of a slide as the check of a study reads them, and what is wrong."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # the sentence below says what it is
    try:
        try:
            return Looked(_shape(file, **limits))
        except Quarantine as verdict:
            if verdict.code != "E_MPP":
                raise
            shape = _shape(file, mpp=1.0, **limits)
            return Looked(replace(shape, mpp=None), verdict.sentence)
    except Quarantine as verdict:
        return Looked(None, verdict.sentence)
    except Exception as error:  # whatever the damage does, the other slides are looked at
        return Looked(None, f"{file.name}: it cannot be opened ({type(error).__name__}).")


def _shape(file: Path, **limits: object) -> Shape:
    with open_reader(file, **limits) as reader:
        return Shape(reader.height_px0, reader.width_px0, reader.mpp)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
