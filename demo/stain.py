"""From amounts of stain to colour: Beer-Lambert, with each laboratory's own dyes."""

from dataclasses import dataclass

import cv2
import numpy as np

from demo.canvas import Canvas
from demo.noise import smooth_noise

# Optical density of concentration 1 in (R, G, B): blue and purple haematoxylin, red and pink eosin.
BLUE, PURPLE = np.array([0.70, 0.66, 0.28]), np.array([0.54, 0.74, 0.40])
RED, PINK = np.array([0.09, 0.92, 0.38]), np.array([0.24, 0.82, 0.52])
INKS = {"blue": (0.16, 0.30, 0.72), "green": (0.10, 0.52, 0.33)}  # what passes of (R, G, B)


@dataclass(frozen=True)
class Stain:
    """How one patient's slides were stained.

    `blueness` and `redness` in 0..1 place the dyes between the two vectors above; `haematoxylin`
    and `eosin` are strengths, 1 = as usual.
    """

    blueness: float
    redness: float
    haematoxylin: float
    eosin: float

    def transmission(self) -> tuple[np.ndarray, np.ndarray]:
        """What passes through each amount 0..255 of each stain: two tables (256, 3) float32."""
        amounts = np.arange(256)[:, None] / 100
        dye = self.blueness * BLUE + (1 - self.blueness) * PURPLE
        counter = self.redness * RED + (1 - self.redness) * PINK
        return (
            np.exp(-self.haematoxylin * amounts * dye).astype(np.float32),
            np.exp(-self.eosin * amounts * counter).astype(np.float32),
        )


@dataclass(frozen=True)
class Scanner:
    """How one site's scanner sees: the colour of empty glass (R, G, B), its blur and its noise."""

    glass: tuple[float, float, float]
    blur_px: float
    noise: float
    subsampling: tuple[int, int]


def photograph(
    canvas: Canvas, stain: Stain, scanner: Scanner, rng: np.random.Generator, *, ink: str | None
) -> np.ndarray:
    """The slide as the scanner sees it: (height, width, 3) uint8, RGB.

    Args:
        canvas: amounts of stain; zero is bare glass.
        stain: turns amounts into colour.
        scanner: glass, blur and noise.
        rng: of the dust, the shading and the noise.
        ink: "blue" or "green" for a stroke of a marker pen beside the tissue, or None.
    """
    shape = canvas.eosin.shape
    shading = smooth_noise(shape, 0.45 * max(shape), rng)
    veil = dust(shape, rng)
    stroke = None if ink is None else pen_stroke(canvas, rng)
    dye, counter = stain.transmission()
    pixels = np.empty((*shape, 3), np.uint8)
    for top in range(0, shape[0], 256):  # bands, so that only bytes are held for the whole slide
        band = slice(top, top + 256)
        light = dye[canvas.haematoxylin[band]] * counter[canvas.eosin[band]]
        light *= np.float32(scanner.glass) * (1 - 0.006 * shading[band, :, None])
        light *= 1 - veil[band, :, None].astype(np.float32) / 255
        if stroke is not None:
            cover = stroke[band, :, None].astype(np.float32) / 255
            light *= 1 - cover * (1 - np.float32(INKS[ink]))
        light += scanner.noise * rng.standard_normal(light.shape[:2], dtype=np.float32)[..., None]
        pixels[band] = np.clip(light, 0, 255)
    return cv2.GaussianBlur(pixels, (0, 0), scanner.blur_px)


def dust(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Specks and a few hairs, out of focus: (height, width) uint8, 255 = opaque."""
    veil = np.zeros(shape, np.uint8)
    for _ in range(25):
        at = (int(rng.integers(0, shape[1])), int(rng.integers(0, shape[0])))
        cv2.circle(veil, at, int(rng.integers(1, 7)), int(rng.integers(40, 170)), -1, cv2.LINE_AA)
    for _ in range(2):
        start = rng.uniform(0, 1, 2) * shape
        bend = np.cumsum(rng.normal(0, 0.25, 40))
        steps = 9 * np.stack([np.sin(bend), np.cos(bend)], axis=1)
        points = (start + np.cumsum(steps, axis=0))[:, ::-1]
        cv2.polylines(veil, [points.astype(np.int32)], False, 90, 3, cv2.LINE_AA)
    return cv2.GaussianBlur(veil, (0, 0), 1.6)


def pen_stroke(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """A line drawn with a marker around part of the tissue: (height, width) uint8, 255 = full."""
    shape = canvas.eosin.shape
    small = cv2.resize(canvas.eosin, None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA)
    outlines, _ = cv2.findContours(
        cv2.dilate((small > 8).astype(np.uint8), np.ones((9, 9), np.uint8)),
        cv2.RETR_EXTERNAL,
        cv2.CHAIN_APPROX_NONE,
    )
    outline = max(outlines, key=cv2.contourArea)[:, 0] * 16.0
    line = outline[: int(0.55 * len(outline))]
    line = cv2.GaussianBlur(line, (1, 61), 0, borderType=cv2.BORDER_REPLICATE)
    stroke = np.zeros(shape, np.uint8)
    cv2.polylines(stroke, [line.astype(np.int32)], False, 225, 88, cv2.LINE_AA)
    crossed = line[int(0.8 * len(line)) :] + np.array([180, -140])
    cv2.polylines(stroke, [crossed.astype(np.int32)], False, 225, 70, cv2.LINE_AA)
    streaks = 1 + 0.10 * smooth_noise(shape, 40, rng) + 0.05 * smooth_noise(shape, 5, rng)
    return cv2.GaussianBlur((stroke * np.clip(streaks, 0.2, 1.13)).astype(np.uint8), (0, 0), 5)
