"""Small slides and cohorts for tests, drawn in a moment and the same every time."""

import csv
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from demo.pyramid import write_slide

__all__ = ["draw_pixels", "make_cohort", "write_slide"]

COLUMNS = ("slide", "path", "patient", "label", "site", "mpp", "mask")
MASK_DOWNSAMPLE = 4


def make_cohort(
    folder: Path,
    *,
    slides: int = 6,
    side_px: int = 1024,
    seed: int = 0,
    patients: int | None = None,
    classes: Sequence[str] = ("normal", "tumour"),
    mpp: float = 0.5,
) -> Path:
    """Write a cohort that the whole workflow can run on: slides, truth and sheet.

    The classes take turns from slide to slide. The first is the negative one: its slides hold the
    plain texture only. In the others a disc of denser dots is the truth.

    Args:
        folder: gets slides/s01.tif ..., masks/s01.png ... (8-bit, 1 = in the disc, a quarter of the
            slide's size) and slides.tsv.
        slides: how many.
        side_px: side of level 0; 1024 px hold about a dozen tiles of 128 px at 1 um per px.
        seed: another seed, another cohort; the same seed gives the same bytes.
        patients: how many share the slides, in turns; None gives each slide its own.
        classes: names of the classes.
        mpp: um per px of level 0, written in the files and not in the sheet.

    Returns:
        The path of slides.tsv.
    """
    rows = []
    for number in range(slides):
        name, kind = f"s{number + 1:02d}", number % len(classes)
        rng = np.random.default_rng([seed, number])
        pixels, truth = draw_pixels((side_px, side_px), rng, dense=kind)
        write_slide(folder / "slides" / f"{name}.tif", pixels, mpp=mpp)
        mask = folder / "masks" / f"{name}.png"
        mask.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(mask), truth[::MASK_DOWNSAMPLE, ::MASK_DOWNSAMPLE])
        patient = f"p{number % (patients or slides) + 1:02d}"
        site = "north" if number % 4 < 2 else "south"
        files = (f"slides/{name}.tif", f"masks/{name}.png")
        rows.append((name, files[0], patient, classes[kind], site, "", files[1]))
    sheet = folder / "slides.tsv"
    with sheet.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(rows)
    return sheet


def draw_pixels(
    shape: tuple[int, int], rng: np.random.Generator, *, dense: int
) -> tuple[np.ndarray, np.ndarray]:
    """A pink disc with purple dots on white glass.

    Args:
        shape: (height, width) in px.
        rng: source of everything.
        dense: 0 draws sparse small dots only; 1, 2, ... draw a disc of dense large ones in it, the
            more, the larger.

    Returns:
        Pixels (height, width, 3) uint8 and truth (height, width) uint8, 1 = dense.
    """
    height, width = shape
    centre, reach = (width // 2, height // 2), min(shape)
    tissue, truth = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    cv2.circle(tissue, centre, int(0.42 * reach), 1, -1)
    if dense:
        shift = rng.uniform(-0.12, 0.12, 2) * reach
        inner = (round(centre[0] + shift[0]), round(centre[1] + shift[1]))
        cv2.circle(truth, inner, int(0.27 * reach), 1, -1)

    pixels = np.full((*shape, 3), 242, np.uint8)
    pink = np.array([226, 166, 194]) * rng.uniform(0.93, 1.04)
    pixels[tissue > 0] = np.clip(pink, 0, 255)
    _dots(pixels, tissue & (1 - truth), rng, step_px=44, radius_px=5)
    _dots(pixels, truth, rng, step_px=22 + 8 * dense, radius_px=6 + 3 * dense)
    grain = rng.normal(0, 4, ((height + 1) // 2, (width + 1) // 2)).astype(np.float32)
    grain = cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(pixels + grain[..., None], 0, 255).astype(np.uint8), truth


def _dots(
    pixels: np.ndarray, area: np.ndarray, rng: np.random.Generator, *, step_px: int, radius_px: int
) -> None:
    """Draw purple dots on an uneven grid within an area, in place."""
    rows, cols = np.mgrid[0 : area.shape[0] : step_px, 0 : area.shape[1] : step_px]
    grid = np.stack([rows.ravel(), cols.ravel()], axis=1)
    for row, col in grid + rng.integers(0, step_px // 2, grid.shape):
        if row < area.shape[0] and col < area.shape[1] and area[row, col]:
            shade = rng.uniform(0.8, 1.2)
            colour = (int(96 * shade), int(62 * shade), int(128 * shade))
            cv2.circle(pixels, (int(col), int(row)), radius_px, colour, -1, cv2.LINE_AA)
