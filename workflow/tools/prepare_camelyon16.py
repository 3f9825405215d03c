"""Make CAMELYON16 ready for the published patch-level benchmark: patches, masks, a slide sheet.

    python -m workflow.tools.prepare_camelyon16 FOLDER [data/camelyon16-512] [--seed 0]

FOLDER is CAMELYON16 as downloaded (CC0, about 700 GB), in any arrangement: below it lie slides
normal_001.tif, tumor_001.tif, test_001.tif ... and ASAP annotations tumor_001.xml, test_001.xml ...
A test slide without an annotation is normal. test_114 is left out, as published.

lib/cohort/patch_rule.py says which patches of 512 px at level 0 count. Those of a slide are laid
side by side in one picture, a mosaic, because they share label, patient and split: the workflow
then has 400 slides and not 50,000, and every patch is one tile. The second folder gets slides.tsv,
mosaics/, masks/, areas/ and patches/ (for every mosaic: row, column, where the patch was, how much
of it is metastasis): about 25 GB. When a stopped command is given again, finished mosaics are kept
and the search for patches is repeated.
"""

import argparse
import logging
import math
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from workflow.lib.cohort.patch_rule import (
    LEAST_TISSUE,
    PATCH_PX0,
    Candidates,
    categories,
    choose_patches,
    patch_grid,
)
from workflow.lib.jobs.tables import write_table
from workflow.lib.jobs.verdicts import BadPixels, Quarantine
from workflow.lib.slides.annotations import Area
from workflow.lib.slides.mosaics import columns_of, mosaic_area, write_mosaic
from workflow.lib.slides.slides import SlideReader, open_reader
from workflow.lib.slides.tissue import mask_tissue
from workflow.lib.slides.truth import rasterise, read_drawing
from workflow.lib.tiles.tile_labels import marked_shares
from workflow.lib.tiles.tiling import TileSpec, tissue_fraction

log = logging.getLogger("prepare_camelyon16")

NAME = re.compile(r"(normal|tumor|test)_\d{3}")
LEFT_OUT = {"test_114"}
PUBLISHED = {"train": 16_603, "test": 7_832}  # metastatic patches; Rony et al., MELBA 2023
NEAR = 0.05  # of that number: what tissue and annotations read otherwise may change
MPP = 0.243  # um: of most slides. Utrecht's have 0.226; a patch is 512 px, whatever it measures
TISSUE_MPP = 8.0  # um; of the thumbnail on which tissue is found
SHEET = ("slide", "path", "patient", "label", "mpp", "mask", "tissue", "split")
PATCHES = ("row", "column", "y_px0", "x_px0", "marked", "category")


class Scan(NamedTuple):
    """A slide as downloaded; drawing: of its metastases, None where there are none."""

    name: str
    path: Path
    drawing: Path | None

    @property
    def split(self) -> str:
        return "test" if self.name.startswith("test") else "train"


def main(arguments: list[str]) -> int:
    """Prepare the patches; the exit status is 1 when a slide cannot be used."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    parser = argparse.ArgumentParser(
        prog="prepare_camelyon16",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="CAMELYON16 as downloaded")
    parser.add_argument("out", type=Path, nargs="?", default=Path("data/camelyon16-512"))
    parser.add_argument("--seed", type=int, default=0, help="of the patches that are drawn")
    options = parser.parse_args(arguments)
    try:
        prepare_camelyon16(options.folder, options.out, seed=options.seed)
    except (OSError, ValueError, Quarantine, BadPixels) as error:
        sys.stderr.write(f"CAMELYON16 is not ready: {error}\n")
        return 1
    return 0


def prepare_camelyon16(folder: Path, out: Path, *, seed: int) -> None:
    """Write mosaics, masks and the sheet; raises ValueError for a folder without what it takes."""
    scans = find_scans(folder)
    for part in ("mosaics", "masks", "areas", "patches"):
        (out / part).mkdir(parents=True, exist_ok=True)
        for stale in (out / part).glob("*.part"):  # of a command that was killed
            stale.unlink()
    found = {
        scan.name: find_candidates(scan)
        for scan in tqdm(scans, desc="looking for patches", unit="slide")
    }
    chosen: dict[str, np.ndarray] = {}
    for split in ("train", "test"):
        part = {scan.name: found[scan.name] for scan in scans if scan.split == split}
        chosen |= choose_patches(part, seed=seed)
        for kind, marked in (("metastatic", True), ("normal", False)):
            names = [name for name, item in part.items() if (item.marked is not None) == marked]
            count = sum(len(chosen[name]) for name in names)
            log.info("%s: %d %s patches of %d slides.", split, count, kind, len(names))
            if marked and abs(count - PUBLISHED[split]) > NEAR * PUBLISHED[split]:
                _warn(split, count, scans)
    used = [scan for scan in scans if len(chosen[scan.name])]
    for scan in tqdm(used, desc="writing mosaics", unit="slide"):
        write_patches(scan, found[scan.name], chosen[scan.name], out)
    write_table(out / "slides.tsv", SHEET, map(_row, used))


def _warn(split: str, count: int, scans: list[Scan]) -> None:
    """Say that metastatic patches are missing, or too many, and what that may come from."""
    bare = sum(scan.split == "test" and scan.drawing is None for scan in scans)
    why = f"{bare} test slides count as normal because they have no annotation. "
    log.warning(
        "%s: %d metastatic patches are far from the published %d. %sCheck that all slides and all "
        "XML files are there.", split, count, PUBLISHED[split], why if split == "test" else "",
    )  # fmt: skip


def find_scans(folder: Path) -> list[Scan]:
    """The slides below a folder, by name. Raises ValueError where one that needs it has no XML."""
    drawings = {path.stem: path for path in sorted(folder.rglob("*.xml"))}
    slides = {
        path.stem: path for path in sorted(folder.rglob("*.tif")) if NAME.fullmatch(path.stem)
    }
    scans = [
        Scan(name, path, drawings.get(name))
        for name, path in sorted(slides.items())
        if name not in LEFT_OUT
    ]
    if not scans:
        raise ValueError(
            f"{folder} has no slide such as normal_001.tif, tumor_001.tif, test_001.tif"
        )
    if bare := [s.name for s in scans if s.name.startswith("tumor") and s.drawing is None]:
        raise ValueError(f"there is no annotation {', '.join(f'{name}.xml' for name in bare)}")
    tested = [scan.drawing for scan in scans if scan.split == "test"]
    if tested and not any(tested):
        raise ValueError(f"no test slide has an annotation below {folder}: all would be normal")
    return scans


def find_candidates(scan: Scan) -> Candidates:
    """The patches of a slide with enough tissue; with a drawing, those that it touches."""
    with open_reader(scan.path, mpp=MPP) as reader:
        shape = (reader.height_px0, reader.width_px0)
        origins = patch_grid(*shape)
        areas = None if scan.drawing is None else read_drawing(scan.drawing, shape)
        if areas is not None:
            origins = origins[_near(origins, areas)]
        if len(origins):
            origins = origins[_tissue(reader, origins) >= LEAST_TISSUE]
    if areas is None:
        return Candidates(origins, None)
    shares = marked_shares(
        lambda rows: rasterise(areas, steps=(1, 1), rows=rows, width=shape[1]),
        origins,
        tile_px=PATCH_PX0,
        shape=shape,
    )
    return Candidates(origins, shares)


def write_patches(scan: Scan, found: Candidates, rows: np.ndarray, out: Path) -> None:
    """The mosaic of the chosen `rows` with its mask, area and list; what is there is kept."""
    origins, name, columns = found.origins_px0[rows], scan.name, columns_of(len(rows))
    marked = None if found.marked is None else found.marked[rows]
    listed = out / "patches" / f"{name}.tsv"
    cells = [
        dict(zip(PATCHES, (n // columns, n % columns, *map(int, origin)), strict=False))
        | {"marked": 0.0 if marked is None else float(marked[n])}
        | {"category": "" if marked is None else str(categories(marked[n]))}
        for n, origin in enumerate(origins)
    ]
    draft = listed.with_suffix(".part")
    write_table(draft, PATCHES, cells)
    if listed.is_file() and listed.read_bytes() == draft.read_bytes():
        draft.unlink()
        return
    about = {"count": len(rows), "side_px": PATCH_PX0}
    shape = (PATCH_PX0, PATCH_PX0)
    with open_reader(scan.path, mpp=MPP) as reader:
        size = (reader.height_px0, reader.width_px0)
        pictures = (reader.read((int(y), int(x)), shape) for y, x in origins)
        write_mosaic(out / "mosaics" / f"{name}.tif", pictures, **about)
    if scan.drawing is not None:
        masks = _masks(read_drawing(scan.drawing, size), origins)
        write_mosaic(out / "masks" / f"{name}.tif", masks, **about)
    (out / "areas" / f"{name}.geojson").write_text(mosaic_area(**about))
    draft.replace(listed)


def _masks(areas: list[Area], origins: np.ndarray) -> Iterator[np.ndarray]:
    """What is drawn in each patch, (512, 512) uint8."""
    boxes = [_box(area) for area in areas]
    for origin in origins:
        inside = [
            Area(tuple(ring - origin for ring in area.rings), cut=area.cut)
            for area, (low, high) in zip(areas, boxes, strict=True)
            if (low < origin + PATCH_PX0).all() and (high > origin).all()
        ]
        yield rasterise(inside, steps=(1, 1), rows=(0, PATCH_PX0), width=PATCH_PX0)


def _near(origins: np.ndarray, areas: list[Area]) -> np.ndarray:
    """Which patches touch the bounding box of something drawn, (N,) bool."""
    near = np.zeros(len(origins), bool)
    for low, high in (_box(area) for area in areas if not area.cut):
        near |= ((origins < high) & (origins + PATCH_PX0 > low)).all(axis=1)
    return near


def _box(area: Area) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate(area.rings)
    return points.min(axis=0), points.max(axis=0)


def _tissue(reader: SlideReader, origins: np.ndarray) -> np.ndarray:
    """The share of each patch that is tissue by Otsu's threshold over the slide, (N,)."""
    shape = (reader.height_px0, reader.width_px0)
    thumbnail = reader.thumbnail(max(1, math.ceil(max(shape) * MPP / TISSUE_MPP)))
    plain = {"min_area_um2": 0.0, "close_um": 0.0, "saturation_floor": 0.05}
    mask = mask_tissue(thumbnail, mask_mpp=TISSUE_MPP, **plain)
    spec = TileSpec(shape[1], shape[0], MPP, MPP, PATCH_PX0, PATCH_PX0)
    return tissue_fraction(mask, spec, origins)


def _row(scan: Scan) -> dict:
    name, drawn = scan.name, scan.drawing is not None
    cells = (name, f"mosaics/{name}.tif", name, "tumour" if drawn else "normal", MPP)
    files = (f"masks/{name}.tif" if drawn else "", f"areas/{name}.geojson", scan.split)
    return dict(zip(SHEET, cells + files, strict=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
