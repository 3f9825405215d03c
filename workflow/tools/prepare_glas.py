"""Make the GlaS challenge ready for the protocol of NEGEV: squares, masks and slide sheets.

    python -m workflow.tools.prepare_glas FOLDER [data/glas-negev]

FOLDER is the archive of the challenge, unpacked: Grade.csv, train_1.bmp, train_1_anno.bmp,
testA_1.bmp ... (Sirinukunwattana et al. 2017; research and non-commercial use only). Every image is
stretched to 224 x 224 px, bilinear, and its mask with it, nearest, because NEGEV (Belharbi et al.,
MIDL 2022) learns and measures on such squares. The second folder gets images/, masks/ and

    official-0.tsv ... official-4.tsv   the official test images; five draws, by class, of the 18
                                        training images that validate (67 / 18 / 80, as published)
    patients.tsv                        all images, to be divided by patient

Patients cross the official border between training and test, and no audit could pass that. In the
official sheets every image therefore counts as a patient of its own: what is published can be
compared with, and is no evidence for patients never seen. patients.tsv is for that.
"""

import argparse
import csv
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from workflow.lib.jobs.tables import write_table

log = logging.getLogger("prepare_glas")

SIDE_PX = 224
SQUARE_MPP = 1.76063  # um: that of 775 x 522 px of 0.62005 um in a square of the same area
DRAWS = 5  # as many folds are published
VALIDATED = 18 / 85  # of the training images
PUBLISHED = (67, 18, 80)  # images that train, validate and test
COLUMNS = ("slide", "path", "patient", "label", "mpp", "mask")
KINDS = (".bmp", ".png", ".tif")


class Graded(NamedTuple):
    """An image of the challenge: train_1, testA_1 ..., its patient, benign or malignant."""

    name: str
    patient: str
    label: str

    @property
    def trains(self) -> bool:
        return self.name.startswith("train")


def main(arguments: list[str]) -> int:
    """Prepare the images; the exit status is 1 when the folder is not the whole challenge."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    parser = argparse.ArgumentParser(
        prog="prepare_glas",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="the challenge as downloaded and unpacked")
    parser.add_argument("out", type=Path, nargs="?", default=Path("data/glas-negev"))
    options = parser.parse_args(arguments)
    try:
        prepare_glas(options.folder, options.out)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"Nothing is ready: {error}\n")
        return 1
    return 0


def prepare_glas(folder: Path, out: Path) -> None:
    """Write squares and sheets; raises ValueError for a folder that lacks an image or a mask."""
    grades = next(iter(sorted(folder.rglob("Grade.csv"))), None)
    if grades is None:
        raise ValueError(f"there is no Grade.csv in {folder}; unpack the archive of the challenge")
    graded = read_grades(grades)
    files = {item.name: find_files(grades.parent, item.name) for item in graded}
    if missing := [name for name, found in files.items() if found is None]:
        raise ValueError(
            f"{grades.parent} lacks the image or the mask ..._anno of {', '.join(missing)}; "
            "unpack the whole archive"
        )
    for part in ("images", "masks"):
        (out / part).mkdir(parents=True, exist_ok=True)
    for name, (image, mask) in tqdm(files.items(), desc="images", unit="image"):
        with Image.open(image) as opened:
            picture = square(opened.convert("RGB"), Image.Resampling.BILINEAR)
            picture.save(out / f"images/{name}.png")
        with Image.open(mask) as opened:
            labels = Image.fromarray(np.asarray(opened))  # of a palette image the indices
            square(labels, Image.Resampling.NEAREST).save(out / f"masks/{name}.png")
    write_table(out / "patients.tsv", COLUMNS, map(_row, graded))
    tested = [item for item in graded if not item.trains]
    if not tested:
        log.warning("Grade.csv names no test image: there are no official sheets.")
        return
    for draw in range(DRAWS):
        rows = list(official_rows(graded, draw))
        write_table(out / f"official-{draw}.tsv", (*COLUMNS, "split"), rows)
    counts = [sum(row["split"] == split for row in rows) for split in ("train", "val", "test")]
    log.info("%d images train, %d validate and %d test.", *counts)
    if tuple(counts) != PUBLISHED:
        log.warning("Published are %d, %d and %d: these are other images.", *PUBLISHED)


def read_grades(path: Path) -> list[Graded]:
    """The images that Grade.csv names, train_2 before train_10.

    Raises ValueError where a column is missing or a grade is neither benign nor malignant.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = [
            {(key or "").strip(): (value or "").strip() for key, value in row.items()}
            for row in csv.DictReader(file, skipinitialspace=True)
        ]
    graded = []
    for row in rows:
        if absent := {"name", "patient ID", "grade (GlaS)"} - set(row):
            raise ValueError(f"{path.name} has no column {', '.join(sorted(absent))}")
        if row["grade (GlaS)"] not in ("benign", "malignant"):
            raise ValueError(
                f"{path.name} grades {row['name']} as {row['grade (GlaS)']!r}, and not as benign "
                "or malignant"
            )
        graded.append(Graded(row["name"], f"glas-{row['patient ID']}", row["grade (GlaS)"]))
    return sorted(graded, key=lambda item: (item.name.split("_")[0], len(item.name), item.name))


def find_files(folder: Path, name: str) -> tuple[Path, Path] | None:
    """The image and the mask of that name, or None where one is missing."""
    for kind in KINDS:
        image, mask = folder / f"{name}{kind}", folder / f"{name}_anno{kind}"
        if image.is_file() and mask.is_file():
            return image, mask
    return None


def square(image: Image.Image, how: Image.Resampling) -> Image.Image:
    """The image stretched to the square that NEGEV measures on."""
    return image.resize((SIDE_PX, SIDE_PX), how)


def official_rows(graded: Sequence[Graded], draw: int) -> Iterator[dict]:
    """Rows of a sheet with the official test images; `draw` is the seed of those that validate."""
    random = np.random.default_rng(draw)
    validated: set[str] = set()
    for label in ("benign", "malignant"):
        names = [item.name for item in graded if item.trains and item.label == label]
        count = round(VALIDATED * len(names))
        validated |= set(random.permutation(names)[:count].tolist())
    for item in graded:
        split = "test" if not item.trains else "val" if item.name in validated else "train"
        yield _row(item) | {"patient": item.name, "split": split}


def _row(item: Graded) -> dict:
    name = item.name
    cells = (name, f"images/{name}.png", item.patient, item.label, SQUARE_MPP, f"masks/{name}.png")
    return dict(zip(COLUMNS, cells, strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
