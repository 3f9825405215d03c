"""Draw the embedded cohort: `python -m demo.draw_cohort data/demo`."""

import argparse
import hashlib
import json
import logging
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import scipy
import shapely
import tifffile
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from demo.canvas import Canvas
from demo.cohort import MASK_MPP, MPP, PATIENTS, SEED, SITES, SPECIMENS, Specimen
from demo.pyramid import write_slide
from demo.stain import photograph
from demo.tissue import draw_tissue, plan_tissue

log = logging.getLogger(__name__)

STAMP = ".drawn.json"  # which drawing each file holds, and its checksum


def draw_cohort(folder: Path, specimens: list[Specimen]) -> list[str]:
    """Draw the slides and their truth into `folder`; those already there are left alone.

    Args:
        folder: gets slides/<slide>.tif and, for usable slides, masks/<slide>.png.
        specimens: what to draw.

    Returns:
        The names of the slides that were drawn, in the order of `specimens`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamps = read_stamps(folder)
    code = drawing_code()
    missing = [s for s in specimens if not is_drawn(folder, s, code, stamps)]
    if not missing:
        log.info("All %d slides of the demo cohort are already in %s.", len(specimens), folder)
        return []
    log.info("Drawing %d of %d slides of the demo cohort.", len(missing), len(specimens))
    workers = min(os.cpu_count() or 1, len(missing), 4)  # about 0.6 GB each
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(draw_slide, folder, specimen): specimen for specimen in missing}
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="slide", disable=None):
            files = job.result()
            stamps[jobs[job].slide] = {"code": code, "files": files}
            write_stamps(folder, stamps)
            log.info("%s: drawn.", jobs[job].slide)
    return [specimen.slide for specimen in missing]


def draw_slide(folder: Path, specimen: Specimen) -> dict[str, str]:
    """Draw one slide and its truth; returns the sha256 of each file by its path in `folder`."""
    cv2.setNumThreads(1)  # one process per core already
    rng = np.random.default_rng([SEED, *specimen.slide.encode()])
    patient = PATIENTS[specimen.patient]
    if specimen.pieces is None:
        canvas = Canvas(*np.zeros((2, *specimen.shape), np.uint8))
        tumour = np.zeros(specimen.shape, bool)
    else:
        plan = plan_tissue(
            specimen.shape,
            rng,
            pieces=specimen.pieces,
            area=specimen.area,
            tumour_share=specimen.tumour_share,
        )
        canvas, tumour = draw_tissue(
            plan, rng, goblets=patient.goblets, inflammation=patient.inflammation
        )
    scanner = SITES[specimen.site]
    pixels = photograph(canvas, patient.stain, scanner, rng, ink=specimen.ink)

    slide = folder / "slides" / f"{specimen.slide}.tif"
    written = slide.with_name(f".{slide.name}.whole") if specimen.truncated else slide
    write_slide(
        written,
        pixels,
        mpp=MPP if specimen.scaled else None,
        subsampling=scanner.subsampling,
    )
    if specimen.truncated:
        os.truncate(written, written.stat().st_size * 2 // 5)
        written.replace(slide)
    files = [slide]
    if specimen.usable:
        mask = folder / "masks" / f"{specimen.slide}.png"
        write_mask(mask, tumour)
        files.append(mask)
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def write_mask(path: Path, tumour: np.ndarray) -> None:
    """Write the truth (height, width) bool at MASK_MPP: an 8-bit PNG, 1 = tumour, 0 = not."""
    size = tuple(round(side * MPP / MASK_MPP) for side in tumour.shape[::-1])
    share = cv2.resize(tumour.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    _, png = cv2.imencode(".png", (share >= 0.5).astype(np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(png.tobytes())
    part.replace(path)


def drawing_code() -> str:
    """A hash of everything that decides the bytes: this package's source and its libraries."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    for library in (np, scipy, shapely, cv2, tifffile, imagecodecs):
        digest.update(f"{library.__name__} {library.__version__}".encode())
    return digest.hexdigest()


def is_drawn(folder: Path, specimen: Specimen, code: str, stamps: dict) -> bool:
    """Whether the specimen's files are there, whole, as the present code draws them."""
    stamp = stamps.get(specimen.slide, {})
    return stamp.get("code") == code and all(
        (folder / file).is_file() and sha256(folder / file) == digest
        for file, digest in stamp["files"].items()
    )


def read_stamps(folder: Path) -> dict:
    """What was drawn before: slide -> {"code", "files": {path: sha256}}; empty at first."""
    path = folder / STAMP
    return json.loads(path.read_text()) if path.exists() else {}


def write_stamps(folder: Path, stamps: dict) -> None:
    """Replace the record of what was drawn in one step."""
    part = folder / f"{STAMP}.{os.getpid()}.part"
    part.write_text(json.dumps(stamps, indent=1, sort_keys=True))
    part.replace(folder / STAMP)


def sha256(path: Path) -> str:
    """Checksum of a file, as hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Read the command line and draw the whole cohort."""
    parser = argparse.ArgumentParser(prog="python -m demo.draw_cohort", description=__doc__)
    parser.add_argument("folder", type=Path, help="where slides/ and masks/ go, e.g. data/demo")
    folder = parser.parse_args().folder
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with logging_redirect_tqdm():
        draw_cohort(folder, SPECIMENS)


if __name__ == "__main__":
    main()
