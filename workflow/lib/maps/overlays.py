"""A heatmap drawn over its slide, with what one needs to read it: outline, scale and colours."""

from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
import zarr
from PIL import Image, ImageDraw, ImageFont

from workflow.lib.maps.pyramids import level_for, read_level
from workflow.lib.report.colours import probability_colours
from workflow.lib.tiles.codes import FULL

OPACITY = 0.65  # of probability 1; the tissue still shows through
INK = (40, 40, 40)


def blend(picture: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Lay probabilities (h, w) 0..1 over an RGB picture (h, w, 3) uint8.

    Opacity grows with the probability: where a model sees nothing, the slide is seen untouched.
    """
    opacity = OPACITY * np.clip(probability, 0, 1)[..., None] ** 0.8
    mixed = picture * (1 - opacity) + probability_colours(probability) * opacity
    return np.rint(mixed).astype(np.uint8)


def place(
    heatmap: np.ndarray, size_px: tuple[int, int], *, step_px: tuple[float, float]
) -> np.ndarray:
    """Resample a heatmap (h, w) onto a picture of `size_px` (H, W), both with the same corner.

    `step_px` is how many heatmap px one picture px spans (down, across); up to about 2 no
    pixel is passed over. Beyond the heatmap there is 0.
    """
    down, across = step_px
    back = np.array([[across, 0, across / 2 - 0.5], [0, down, down / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(heatmap.astype(np.float32), back, size_px[::-1], flags=flags)


def lay_heatmap(group: zarr.Group, size_px: tuple[int, int], geometry: dict) -> np.ndarray:
    """A written heatmap on a picture (H, W) of its slide: probability 0..1, float32.

    geometry: height_px0 and width_px0 of the slide, scale_px0, level-0 px per heatmap px.
    """
    level = level_for(group, max(size_px))
    probability, _ = read_level(group, level)
    step_px0 = np.array([geometry["height_px0"], geometry["width_px0"]]) / size_px
    step_px = step_px0 / (geometry["scale_px0"] * 2**level)
    return place(probability / np.float32(FULL), size_px, step_px=tuple(step_px))


def outline(picture: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """Draw a thin line around the tissue, given as a mask (any h, w) of the same slide."""
    height, width = picture.shape[:2]
    share = cv2.resize(tissue.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    share = cv2.GaussianBlur(share, (0, 0), max(1.0, width / tissue.shape[1] / 3))
    contours, _ = cv2.findContours(
        (share > 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    drawn = picture.copy()
    cv2.polylines(drawn, contours, isClosed=True, color=INK, thickness=1, lineType=cv2.LINE_AA)
    return drawn


def scale_length_um(width_um: float) -> float:
    """A round length of about a quarter of the width: 1, 2 or 5 times a power of ten.

    >>> scale_length_um(9000.0), scale_length_um(350.0)
    (2000.0, 50.0)
    """
    exponent = 10.0 ** np.floor(np.log10(width_um / 4))
    return float(exponent * max(step for step in (1, 2, 5) if step * exponent <= width_um / 4))


def length_text(length_um: float) -> str:
    """A length as people write it.

    >>> length_text(2000.0), length_text(50.0)
    ('2 mm', '50 µm')
    """
    return f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um:g} µm"


def legend(width: int, *, um_per_px: float, name: str, quantity: str) -> np.ndarray:
    """A strip (h, width, 3) uint8 to put below a picture: scale bar on the left, colours right.

    `um_per_px` is of the picture, `name` is the class whose `quantity` (probability or evidence) is
    shown. The colours are shown on white, as they look on empty glass.
    """
    size = int(np.clip(width / 52, 11, 22))
    font = ImageFont.truetype(Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)
    strip = Image.new("RGB", (width, round(3.2 * size)), "white")
    draw = ImageDraw.Draw(strip)
    top, bar = round(0.6 * size), round(0.9 * size)
    middle, below = top + bar // 2, top + 1.3 * bar

    length = scale_length_um(width * um_per_px)
    start, end = size, size + round(length / um_per_px)
    draw.line([(start, middle), (end, middle)], fill=INK, width=max(2, size // 6))
    for x in (start, end):
        draw.line([(x, top), (x, top + bar - 1)], fill=INK, width=max(1, size // 8))
    draw.text((start, below), length_text(length), fill=INK, font=font)

    across = round(width * 0.36)
    left = width - across - size
    ramp = np.broadcast_to(np.linspace(0, 1, across), (bar, across))
    colours = blend(np.full((bar, across, 3), 255, np.uint8), ramp)
    strip.paste(Image.fromarray(colours), (left, top))
    draw.rectangle([left, top, left + across - 1, top + bar - 1], outline=INK)
    for mark in (0.0, 0.5, 1.0):
        x = left + mark * (across - 1)
        draw.line([(x, top + bar), (x, top + bar + size // 4)], fill=INK)
        draw.text((x, below), f"{mark:g}", anchor="ma", fill=INK, font=font)
    room = left - end - 1.5 * size
    label = _fitting(quantity, name, lambda text: draw.textlength(text, font=font), room)
    draw.text((left - 0.7 * size, middle), label, anchor="rm", fill=INK, font=font)
    return np.asarray(strip)


def _fitting(quantity: str, name: str, length: Callable[[str], float], room: float) -> str:
    """The longest way to say what is shown, and of which class, that fits."""
    shorter = [f"{name[:count]}…" for count in range(len(name) - 1, 1, -1)]
    for text in (f"{quantity} of {name}", name, *shorter):
        if length(text) <= room:
            return text
    return ""
