"""Nuclei of every kind, drawn one by one."""

import numpy as np

from demo.canvas import Canvas


def draw_columnar(
    canvas: Canvas, centres: np.ndarray, directions: np.ndarray, rng: np.random.Generator
) -> None:
    """Nuclei of a regular epithelium: oval, alike, upright. `centres` is (n, 2) of (y, x)."""
    for centre, direction in zip(centres, directions, strict=True):
        axes = (rng.normal(9, 1), rng.normal(5.6, 0.5))
        shade = rng.normal(118, 9)
        canvas.ellipse(centre, axes, direction + rng.normal(0, 0.15), shade, 30)
        inner = (0.55 * axes[0], 0.5 * axes[1])
        canvas.ellipse(centre + rng.normal(0, 1, 2), inner, direction, shade - 18)


def draw_atypical(
    canvas: Canvas, centres: np.ndarray, directions: np.ndarray, rng: np.random.Generator
) -> None:
    """Nuclei of a tumour: large, unequal, dark or hollow with a nucleolus, in any direction."""
    for centre, direction in zip(centres, directions, strict=True):
        size = rng.lognormal(0, 0.2)
        axes = (12.5 * size, 8.8 * size * rng.uniform(0.8, 1.15))
        direction = direction + rng.normal(0, 0.5)
        shade = np.clip(rng.normal(120, 22), 75, 185)
        canvas.ellipse(centre, axes, direction, shade, 30)
        if rng.random() < 0.75:
            inner = (0.78 * axes[0], 0.74 * axes[1])
            canvas.ellipse(centre, inner, direction, 0.45 * shade)
            nucleolus = rng.uniform(2, 3.4)
            canvas.ellipse(centre + rng.normal(0, 2, 2), (nucleolus, nucleolus), 0, 175, 55)


def draw_spindle(
    canvas: Canvas, centres: np.ndarray, directions: np.ndarray, rng: np.random.Generator
) -> None:
    """Nuclei of fibroblasts: thin, along the fibres."""
    for centre, direction in zip(centres, directions, strict=True):
        axes = (rng.uniform(9, 17), rng.uniform(2.2, 3.8))
        canvas.ellipse(centre, axes, direction + rng.normal(0, 0.2), rng.normal(105, 15))


def draw_lymphocytes(canvas: Canvas, centres: np.ndarray, rng: np.random.Generator) -> None:
    """Nuclei of lymphocytes: small, round, dark, with a thin rim of cytoplasm."""
    for centre in centres:
        radius = rng.normal(6.6, 0.6)
        canvas.ellipse(centre, (radius + 2.5, radius + 2), 0, 38, 42)
        axes = (radius, radius * rng.uniform(0.85, 1))
        canvas.ellipse(centre, axes, rng.uniform(0, np.pi), np.clip(rng.normal(150, 15), 90, 200))


def draw_red_cells(canvas: Canvas, centres: np.ndarray, rng: np.random.Generator) -> None:
    """Red blood cells: eosin only, no nucleus."""
    for centre in centres:
        radius = rng.normal(6.5, 0.5)
        canvas.ellipse(centre, (radius, 0.85 * radius), rng.uniform(0, np.pi), 0, 105)
        canvas.ellipse(centre, (0.45 * radius, 0.4 * radius), 0, 0, 80)
