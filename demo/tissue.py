"""Where the tissue lies on the glass, where in it the tumour is, and what fills the rest."""

from dataclasses import dataclass

import cv2
import numpy as np

from demo.canvas import Canvas
from demo.cells import draw_lymphocytes, draw_red_cells, draw_spindle
from demo.glands import (
    Gland,
    draw_normal,
    draw_tumour,
    normal_glands,
    scatter,
    tumour_glands,
)
from demo.noise import fibres, smooth_noise, warp

COARSE = 8  # outlines are decided at an eighth of the size


@dataclass(frozen=True)
class Plan:
    """What lies where, at 1/COARSE of the slide's size: two (h, w) bool arrays."""

    tissue: np.ndarray
    tumour: np.ndarray


def plan_tissue(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    pieces: str,
    area: float,
    tumour_share: float,
) -> Plan:
    """Decide the outline of the tissue and of the tumour in it.

    Args:
        shape: (height, width) of the slide in px; multiples of COARSE.
        rng: source of the outlines.
        pieces: "block" (one piece), "pair" (two pieces) or "cores" (three needle biopsies).
        area: share of the slide that is tissue.
        tumour_share: share of the tissue that is tumour; 0 for none.
    """
    small = (shape[0] // COARSE, shape[1] // COARSE)
    y, x = np.mgrid[0 : small[0], 0 : small[1]].astype(np.float32)
    y, x = y / small[0] - 0.5, x / small[1] - 0.5
    border = np.minimum(0.5 - np.abs(y), 0.5 - np.abs(x))
    lean = rng.uniform(-0.3, 0.3)
    y, x = y * np.cos(lean) + x * np.sin(lean), x * np.cos(lean) - y * np.sin(lean)
    places = {  # centre and semi-axes (y, x), as shares of the side
        "block": [(0, 0, 0.36, 0.38)],
        "pair": [(-0.22, -0.04, 0.18, 0.32), (0.22, 0.05, 0.19, 0.3)],
        "cores": [(-0.27, 0, 0.12, 0.4), (0, 0.02, 0.12, 0.42), (0.27, -0.02, 0.12, 0.38)],
    }[pieces]
    inside = np.max([1 - ((y - a) / c) ** 2 - ((x - b) / d) ** 2 for a, b, c, d in places], axis=0)
    side = min(small)
    inside += 0.22 * smooth_noise(small, side / 4, rng) + 0.10 * smooth_noise(small, side / 12, rng)
    inside += 0.03 * smooth_noise(small, side / 40, rng)
    inside -= np.clip(0.06 - border, 0, None) / 0.03  # clear of the border of the scan
    tissue = inside > np.quantile(inside, 1 - area)
    if not tumour_share:
        return Plan(tissue, np.zeros_like(tissue))
    lean = rng.uniform(0, 2 * np.pi)
    spread = 1.6 * (np.sin(lean) * y + np.cos(lean) * x) + 0.4 * smooth_noise(small, side / 3, rng)
    spread += 0.08 * smooth_noise(small, side / 14, rng)
    return Plan(tissue, tissue & (spread > np.quantile(spread[tissue], 1 - tumour_share)))


def draw_tissue(
    plan: Plan, rng: np.random.Generator, *, goblets: float, inflammation: float
) -> tuple[Canvas, np.ndarray]:
    """Fill the planned tissue with stroma, glands and cells.

    Args:
        plan: where tissue and tumour lie.
        rng: source of everything that is drawn.
        goblets: share 0..1 of the cells of normal glands that hold mucus.
        inflammation: density of lymphocytes, 1 = as usual.

    Returns:
        The canvas, and the tumour (height, width) bool: the truth of this drawing.
    """
    glands = place_glands(plan, rng)
    potential = fibre_potential(glands, plan.tissue.shape, rng)
    canvas = draw_stroma(potential, rng)
    draw_stromal_cells(canvas, plan, glands, potential, rng, inflammation=inflammation)
    for gland in glands:
        if gland.tumour:
            draw_tumour(canvas, gland, rng)
        else:
            draw_normal(canvas, gland, rng, goblets=goblets)
    return finish(canvas, plan, tumour_extent(glands, plan.tissue.shape), rng)


def place_glands(plan: Plan, rng: np.random.Generator) -> list[Gland]:
    """Malignant glands in the tumour, normal ones in most of what is left."""
    rim = dilate(~plan.tissue, 40) == 0
    malignant = tumour_glands(plan.tumour & rim, rng, scale=COARSE)
    fields = smooth_noise(plan.tissue.shape, 60, rng) > -1.1  # the rest is stroma alone
    clear = dilate(tumour_extent(malignant, plan.tissue.shape) > 0, 120) == 0
    return malignant + normal_glands(plan.tissue & fields & rim & clear, rng, scale=COARSE)


def dilate(area: np.ndarray, reach_px: float) -> np.ndarray:
    """An area (h, w) bool at 1/COARSE, as uint8, grown by `reach_px` of the canvas."""
    side = 2 * round(reach_px / COARSE) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return cv2.dilate(area.astype(np.uint8), disc)


def tumour_extent(glands: list[Gland], shape: tuple[int, int]) -> np.ndarray:
    """What a pathologist would outline: malignant glands and what lies between them.

    Args:
        glands: all glands of the slide.
        shape: (h, w) of the result, 1/COARSE of the canvas.

    Returns:
        (h, w) uint8, 1 = tumour.
    """
    cover = gland_cover([gland for gland in glands if gland.tumour], shape)
    # Closed over gaps narrower than two glands, then a little margin.
    return 1 - dilate(dilate(cover, 160) == 0, 144)


def gland_cover(glands: list[Gland], shape: tuple[int, int]) -> np.ndarray:
    """Where glands lie: (h, w) uint8 of `shape`, 1/COARSE of the canvas, 1 = gland."""
    cover = np.zeros(shape, np.uint8)
    for gland in glands:
        outline = np.asarray(gland.outline.exterior.coords)[:, ::-1] / COARSE
        cv2.fillPoly(cover, [np.round(outline * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    return cover


def fibre_potential(
    glands: list[Gland], shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """A field at half size whose level lines are the fibres: around glands, wavy elsewhere."""
    half = (COARSE // 2 * shape[0], COARSE // 2 * shape[1])
    free = 1 - gland_cover(glands, shape)
    distance = cv2.distanceTransform(free, cv2.DIST_L2, cv2.DIST_MASK_5)
    near = cv2.resize(np.minimum(COARSE / 2 * distance, 70), half[::-1])
    waves = 120 * smooth_noise(half, 170, rng) + 14 * smooth_noise(half, 34, rng)
    return 0.8 * near + waves + 0.6 * np.arange(half[0], dtype=np.float32)[:, None]


def draw_stroma(potential: np.ndarray, rng: np.random.Generator) -> Canvas:
    """Collagen over the whole canvas: pink bundles, paler where the tissue is loose."""
    half = potential.shape
    along = np.arange(half[1], dtype=np.float32)[None, :] + 40 * smooth_noise(half, 90, rng)
    bundles = fibres(potential, along, rng, width_px=5)
    threads = fibres(potential, along, rng, width_px=1.8)
    loose = smooth_noise(half, 110, rng)
    eosin = 46 + 11 * bundles + 8 * threads - 7 * loose
    # Where bundles part, the glass shows through.
    gaps = np.clip((bundles + 0.6 * threads + 0.5 * loose - 1.6) / 0.5, 0, 1)
    eosin *= 1 - 0.85 * gaps
    haematoxylin = (9 + 2.5 * bundles + 2 * threads) * (1 - 0.7 * gaps)
    size = (half[1] * 2, half[0] * 2)
    planes = [
        cv2.resize(np.clip(plane, 0, 255).astype(np.uint8), size, interpolation=cv2.INTER_CUBIC)
        for plane in (haematoxylin, eosin)
    ]
    return Canvas(*planes)


def draw_stromal_cells(
    canvas: Canvas,
    plan: Plan,
    glands: list[Gland],
    potential: np.ndarray,
    rng: np.random.Generator,
    *,
    inflammation: float,
) -> None:
    """Fibroblasts along the fibres, lymphocytes in drifts, a few vessels with red cells."""
    free = plan.tissue & (gland_cover(glands, plan.tissue.shape) == 0)
    places = np.argwhere(free)

    def throw(count: float, weight: np.ndarray | None = None) -> np.ndarray:
        share = None if weight is None else weight[free] / weight[free].sum()
        picks = rng.choice(len(places), round(count), p=share)
        return (places[picks] + rng.random((len(picks), 2))) * COARSE

    centres = throw(0.05 * len(places))
    rows, cols = (np.minimum(centres / 2, np.array(potential.shape) - 3)).astype(int).T
    slope_y = potential[rows + 2, cols] - potential[np.maximum(rows - 2, 0), cols]
    slope_x = potential[rows, cols + 2] - potential[rows, np.maximum(cols - 2, 0)]
    draw_spindle(canvas, centres, np.arctan2(slope_x, -slope_y), rng)

    drifts = np.exp(1.3 * smooth_noise(free.shape, 28, rng)).astype(np.float64)
    draw_lymphocytes(canvas, throw(0.12 * inflammation * len(places), drifts), rng)

    vessels, radii = scatter(free, rng, scale=COARSE, radius_px=(22, 48), tries=12)
    for centre, radius in zip(vessels, radii, strict=True):
        turn = rng.uniform(0, np.pi)
        canvas.ellipse(centre, (1.25 * radius + 9, radius + 9), turn, 14, 72)
        canvas.ellipse(centre, (1.25 * radius, radius), turn, 2, 6)
        spots = rng.uniform(-0.75, 0.75, (int(radius * radius / 70), 2)) * radius
        draw_red_cells(canvas, centre + spots, rng)


def finish(
    canvas: Canvas, plan: Plan, tumour: np.ndarray, rng: np.random.Generator
) -> tuple[Canvas, np.ndarray]:
    """Make shapes uneven, roughen the chromatin and cut everything to the tissue's outline."""
    shape = canvas.eosin.shape
    enlarged = [
        cv2.resize(np.uint8(255) * area.astype(np.uint8), shape[::-1])
        for area in (plan.tissue, tumour)
    ]
    enlarged[0] = cv2.GaussianBlur(enlarged[0], (0, 0), 7)
    haematoxylin, eosin, outline, tumour = warp(
        [canvas.haematoxylin, canvas.eosin, *enlarged], rng, waves=[(11, 1.3), (70, 5)]
    )
    fringe = 128 + 18 * smooth_noise(shape, 9, rng) + 14 * smooth_noise(shape, 30, rng)
    cut = cv2.GaussianBlur((outline > fringe).astype(np.float32), (0, 0), 1.5)
    haematoxylin = haematoxylin * (1 + 0.17 * smooth_noise(shape, 2.6, rng))
    eosin = eosin * (1 + 0.10 * smooth_noise(shape, 3.7, rng))
    inked = [np.clip(plane * cut, 0, 255).astype(np.uint8) for plane in (haematoxylin, eosin)]
    return Canvas(*inked), (tumour > 127) & (cut > 0.5)
