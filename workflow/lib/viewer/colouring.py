"""From codes to pictures that a browser shows: a palette of colours with opacity, and its PNG."""

import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from workflow.lib.report.colours import RGB, probability_colours

QUALITY = 85  # of the JPEG of slide tiles: slides are JPEG of about this quality themselves


def flat_palette(colours: Sequence[RGB]) -> np.ndarray:
    """RGBA (256, 4) uint8: code 0 is clear, code n is opaque in the n-th colour, over and over."""
    palette = np.zeros((256, 4), np.uint8)
    palette[1:, :3] = [colours[(code - 1) % len(colours)] for code in range(1, 256)]
    palette[1:, 3] = 255
    return palette


def probability_palette() -> np.ndarray:
    """RGBA (256, 4) uint8 of probability code / 255: the less, the clearer, as on the overlays."""
    ramp = np.linspace(0, 1, 256)
    opacity = np.rint(255 * ramp**0.8)
    return np.concatenate([probability_colours(ramp), opacity[:, None]], axis=1).astype(np.uint8)


def probability_codes(probability: np.ndarray) -> np.ndarray:
    """0..1 as 0..255 uint8; NaN is 0.

    >>> probability_codes(np.array([0.0, 0.5, 1.0, 2.0, np.nan])).tolist()
    [0, 128, 255, 255, 0]
    """
    return np.floor(np.clip(np.nan_to_num(probability), 0, 1) * 255 + 0.5).astype(np.uint8)


def encode_codes(codes: np.ndarray, palette: np.ndarray) -> bytes:
    """Codes (h, w) uint8 as a PNG of the palette's colours, RGBA (256, 4) uint8."""
    image = Image.fromarray(codes)
    image.putpalette(palette[:, :3].tobytes())
    stream = io.BytesIO()
    image.save(stream, "PNG", transparency=palette[:, 3].tobytes(), compress_level=1)
    return stream.getvalue()


def encode_pixels(pixels: np.ndarray) -> bytes:
    """RGB (h, w, 3) uint8 as a JPEG."""
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
