"""One self-contained HTML page: pictures inside, everything escaped, nothing that runs."""

import base64
from collections.abc import Callable
from pathlib import Path

import cv2
import jinja2
import numpy as np

OUTLINE_BGR = (178, 114, 0)  # blue: no stain has it


def embed_picture(path: Path, *, max_side_px: int, quality: int = 82) -> str:
    """A picture as a JPEG data URI, made smaller where its longer side exceeds `max_side_px`.

    Raises ValueError when the file is no picture.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path} is not a picture; delete its folder and run again")
    return _jpeg(_smaller(pixels, max_side_px), quality)


def embed_outline(
    path: Path, mask: Callable[[tuple[int, int]], np.ndarray], *, max_side_px: int
) -> str:
    """A picture with a mask as a tint and an outline; `mask(shape)` gives it as bool (h, w)."""
    pixels = _smaller(cv2.imread(str(path), cv2.IMREAD_COLOR), max_side_px)
    marked = mask(pixels.shape[:2])
    tint = pixels.copy()
    tint[marked] = OUTLINE_BGR
    pixels = cv2.addWeighted(pixels, 0.75, tint, 0.25, 0)
    found = cv2.findContours(marked.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(pixels, found[-2], -1, OUTLINE_BGR, 2)
    return _jpeg(pixels, 82)


def embed_svg(text: str) -> str:
    """A figure as an SVG data URI: an img cannot run scripts."""
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


def _smaller(pixels: np.ndarray, max_side_px: int) -> np.ndarray:
    factor = max_side_px / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)


def _jpeg(pixels: np.ndarray, quality: int) -> str:
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return f"data:image/jpeg;base64,{base64.b64encode(encoded).decode()}"


def render(template: Path, **context: object) -> str:
    """Fill a template. Every value is escaped; an unknown name in the template is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**context)
