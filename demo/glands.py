"""Glands: where they lie, and how the regular and the malignant ones are built."""

from dataclasses import dataclass

import numpy as np
import shapely
from scipy.spatial import Voronoi
from shapely.geometry import Point, Polygon

from demo.canvas import Canvas
from demo.cells import draw_atypical, draw_columnar


@dataclass(frozen=True)
class Gland:
    """One gland: the outline of its basement membrane, in (y, x) px."""

    outline: Polygon
    tumour: bool


def scatter(
    allowed: np.ndarray,
    rng: np.random.Generator,
    *,
    scale: float,
    radius_px: tuple[float, float],
    tries: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Throw discs into an area so that none overlap.

    Args:
        allowed: (h, w) bool at 1/`scale` of the canvas.
        rng: source of the throws.
        scale: canvas px per px of `allowed`.
        radius_px: smallest and largest radius on the canvas.
        tries: how many discs are thrown.

    Returns:
        Centres (n, 2) of (y, x) and radii (n,), float64, in canvas px.
    """
    cells = np.argwhere(allowed)
    if not len(cells):
        return np.empty((0, 2)), np.empty(0)
    thrown = (cells[rng.integers(0, len(cells), tries)] + rng.random((tries, 2))) * scale
    radii = rng.uniform(*radius_px, tries)
    centres, kept = np.empty((tries, 2)), np.empty(tries)
    count = 0
    for centre, radius in zip(thrown, radii, strict=True):
        gaps = np.hypot(*(centres[:count] - centre).T) - kept[:count] - radius
        if not (gaps < 0).any():
            centres[count], kept[count] = centre, radius
            count += 1
    return centres[:count], kept[:count]


def normal_glands(allowed: np.ndarray, rng: np.random.Generator, *, scale: float) -> list[Gland]:
    """Round, even glands, well apart: crypts cut across, some of them cut at a slant."""
    centres, radii = scatter(allowed, rng, scale=scale, radius_px=(86, 138), tries=12000)
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    glands = []
    for centre, radius in zip(centres, radii - rng.uniform(6, 16), strict=True):
        # A wavy circle, drawn out in one direction and shrunk to stay within its disc.
        distance = np.ones_like(angles)
        for waves in range(2, 6):
            distance += 0.02 * rng.normal() * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
        stretch, turn = rng.uniform(0.72, 1), rng.uniform(0, np.pi)
        across = distance * stretch * np.sin(angles)
        down = distance * np.cos(angles)
        y = np.cos(turn) * across - np.sin(turn) * down
        x = np.sin(turn) * across + np.cos(turn) * down
        glands.append(Gland(Polygon(centre + radius * np.stack([y, x], axis=1)), tumour=False))
    return glands


def tumour_glands(allowed: np.ndarray, rng: np.random.Generator, *, scale: float) -> list[Gland]:
    """Irregular glands back to back: cells of a Voronoi diagram, some of them fused."""
    centres, _ = scatter(allowed, rng, scale=scale, radius_px=(62, 125), tries=6000)
    if not len(centres):
        return []
    # Four points far outside bound every cell; at the rim, none reaches further than a gland does.
    far = 10 * centres.max()
    fence = np.array([[-far, -far], [-far, far], [far, -far], [far, far]])
    diagram = Voronoi(np.concatenate([centres, fence]))
    cells = {}
    for point, centre in enumerate(centres):
        corners = diagram.vertices[diagram.regions[diagram.point_region[point]]]
        cells[point] = Polygon(corners).intersection(Point(centre).buffer(140))
    for first, second in diagram.ridge_points:
        if first in cells and second in cells and rng.random() < 0.08:
            cells[first] = shapely.union(cells[first], cells.pop(second))
    glands = []
    for cell in cells.values():
        if rng.random() < 0.06:
            continue
        corner = rng.uniform(14, 34)
        outline = cell.buffer(-corner - rng.uniform(3, 12)).buffer(corner)
        if isinstance(outline, Polygon) and outline.area > 8000:
            glands.append(Gland(outline, tumour=True))
    return glands


def row(outline: Polygon, depth_px: float, step_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions in a row inside an outline, at one depth, and the directions towards the inside.

    Returns:
        (n, 2) of (y, x) and (n,) radians; empty where nothing is that deep.
    """
    ring = outline.buffer(-depth_px)
    if not isinstance(ring, Polygon) or ring.is_empty:
        return np.empty((0, 2)), np.empty(0)
    line = ring.exterior
    along = np.arange(0, line.length - 0.7 * step_px, step_px)
    here = shapely.get_coordinates(shapely.line_interpolate_point(line, along))
    ahead = shapely.get_coordinates(shapely.line_interpolate_point(line, along + 2))
    tangent = ahead - here
    return here, np.arctan2(tangent[:, 1], -tangent[:, 0])


def draw_normal(canvas: Canvas, gland: Gland, rng: np.random.Generator, *, goblets: float) -> None:
    """One layer of tall cells with their nuclei at the base, around one open lumen."""
    outline = gland.outline
    canvas.polygon(shapely.get_coordinates(outline), 30, 46)
    depth = min(rng.uniform(42, 52), 0.62 * np.sqrt(outline.area / np.pi))
    lumen = outline.buffer(-depth)
    canvas.polygon(shapely.get_coordinates(outline.buffer(-22)), 20, 36)
    cups, directions = row(outline, 31, 20)
    for centre, direction in zip(cups, directions, strict=True):
        if rng.random() < goblets:
            axes = (rng.uniform(9, 12), rng.uniform(6.5, 8.5))
            canvas.ellipse(centre + rng.normal(0, 2, 2), axes, direction, 14, 10)
    if isinstance(lumen, Polygon) and not lumen.is_empty:
        canvas.polygon(shapely.get_coordinates(lumen.buffer(2)), 26, 48)
        canvas.polygon(shapely.get_coordinates(lumen.buffer(-1)), 3, 5)
    nuclei, directions = row(outline, 12.5, 13.5)
    draw_columnar(canvas, nuclei + rng.normal(0, 1.5, nuclei.shape), directions, rng)


def draw_tumour(canvas: Canvas, gland: Gland, rng: np.random.Generator) -> None:
    """Crowded nuclei in several layers around small lumina with bridges between (cribriform)."""
    outline = gland.outline
    canvas.polygon(shapely.get_coordinates(outline), 22, 54)
    lumina = holes(outline.buffer(-30), rng)
    for lumen in lumina:
        dirty = rng.random() < 0.3
        edge = shapely.get_coordinates(lumen)
        canvas.polygon(edge, 6 if dirty else 3, 30 if dirty else 6)
        if dirty:
            debris = sample(lumen.buffer(-3), rng, step_px=7)
            for centre in debris[rng.random(len(debris)) < 0.6]:
                size = rng.uniform(1.5, 4.5, 2)
                canvas.ellipse(centre, size, rng.uniform(0, np.pi), rng.uniform(10, 120), 85)
    open_space = shapely.union_all(lumina)
    lining = [row(outline, 13, 18)[0], *(row(lumen, -12, 18)[0] for lumen in lumina)]
    filling = sample(
        shapely.difference(outline.buffer(-13), open_space.buffer(12)), rng, step_px=17
    )
    nuclei = thin_out(np.concatenate([*lining, filling]), gap_px=16)
    nuclei = nuclei + rng.normal(0, 2, nuclei.shape)
    nuclei = nuclei[rng.random(len(nuclei)) < 0.9]
    outward = nuclei - np.asarray(outline.centroid.coords[0])
    directions = np.arctan2(outward[:, 0], outward[:, 1]) + rng.normal(0, 0.4, len(nuclei))
    draw_atypical(canvas, nuclei, directions, rng)


def thin_out(positions: np.ndarray, *, gap_px: float) -> np.ndarray:
    """Those of the positions (n, 2), in their order, that keep a gap to all kept before."""
    kept = np.empty_like(positions)
    count = 0
    for position in positions:
        if not (np.hypot(*(kept[:count] - position).T) < gap_px).any():
            kept[count] = position
            count += 1
    return kept[:count]


def holes(within: Polygon, rng: np.random.Generator) -> list[Polygon]:
    """Small round or slit-like lumina that keep a bridge of cells between them."""
    found: list[Polygon] = []
    for centre in sample(within, rng, step_px=62):
        radius, stretch = rng.uniform(13, 36), rng.uniform(0.4, 1)
        rim = radius * np.array(
            [[stretch * np.sin(a), np.cos(a)] for a in np.linspace(0, 2 * np.pi, 24)]
        )
        turn = rng.uniform(0, np.pi)
        spin = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        lumen = Polygon(centre + rim @ spin)
        if rng.random() < 0.85 and all(lumen.distance(other) > 32 for other in found):
            found.append(lumen)
    return found


def sample(area: Polygon, rng: np.random.Generator, *, step_px: float) -> np.ndarray:
    """Positions (n, 2) of (y, x) on an uneven hexagonal grid within an area."""
    if area.is_empty:
        return np.empty((0, 2))
    top, left, bottom, right = area.bounds
    rows = np.arange(top - step_px * rng.random(), bottom, 0.87 * step_px)
    cols = np.arange(left - step_px * rng.random(), right, step_px)
    grid = np.stack(np.meshgrid(rows, cols, indexing="ij"), axis=-1)
    grid[1::2, :, 1] += step_px / 2
    positions = grid.reshape(-1, 2) + rng.normal(0, 0.17 * step_px, (grid.size // 2, 2))
    inside = shapely.contains_xy(area, positions[:, 0], positions[:, 1])
    return positions[inside]
