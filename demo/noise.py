"""Smooth random fields: the irregularity of everything that is drawn."""

import cv2
import numpy as np


def smooth_noise(shape: tuple[int, int], scale_px: float, rng: np.random.Generator) -> np.ndarray:
    """A random field (height, width) float32, mean 0, deviation about 1, waves of `scale_px`."""
    height, width = shape
    rows, cols = int(height / scale_px) + 4, int(width / scale_px) + 4
    coarse = rng.standard_normal((rows, cols), dtype=np.float32)
    field = cv2.resize(coarse, None, fx=scale_px, fy=scale_px, interpolation=cv2.INTER_CUBIC)
    # The middle of the enlargement: at its border the interpolation repeats the last value.
    top, left = int(1.5 * scale_px), int(1.5 * scale_px)
    # Interpolation between independent values costs about a quarter of their deviation.
    return field[top : top + height, left : left + width] * np.float32(1.3)


def warp(
    planes: list[np.ndarray], rng: np.random.Generator, *, waves: list[tuple[float, float]]
) -> list[np.ndarray]:
    """Push the pixels of each plane about by the same random field, so that nothing stays round.

    Args:
        planes: (height, width) uint8 each.
        rng: source of the field.
        waves: (scale_px, amplitude_px) pairs that add up.
    """
    height, width = planes[0].shape
    rows = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    cols = np.repeat(np.arange(width, dtype=np.float32)[None, :], height, axis=0)
    for scale_px, amplitude_px in waves:
        rows += amplitude_px * smooth_noise((height, width), scale_px, rng)
        cols += amplitude_px * smooth_noise((height, width), scale_px, rng)
    return [
        cv2.remap(plane, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        for plane in planes
    ]


def fibres(
    potential: np.ndarray, along: np.ndarray, rng: np.random.Generator, *, width_px: float
) -> np.ndarray:
    """Fibres along the level lines of a field.

    Args:
        potential: (height, width) float32, in px: fibres follow the lines where it is constant.
        along: (height, width) float32, in px: the position along a fibre.
        rng: source of the texture.
        width_px: the width of a fibre; they are about twelve times as long.

    Returns:
        (height, width) float32, mean 0, deviation about 1.
    """
    texture = rng.standard_normal((512, 512), dtype=np.float32)
    texture = cv2.GaussianBlur(texture, (0, 0), 0.7, borderType=cv2.BORDER_REFLECT)
    texture /= texture.std()
    return cv2.remap(
        texture,
        along / np.float32(12 * width_px),
        potential / np.float32(width_px),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
