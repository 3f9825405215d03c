"""One self-contained HTML page: pictures inside, everything escaped, no script but our own."""

import base64
import hashlib
from collections.abc import Iterable
from pathlib import Path

import cv2
import jinja2
import numpy as np
from markupsafe import Markup

QUALITY = 80  # of WebP: half the bytes of a JPEG that looks alike, and every browser shows it


def embed_picture(picture: np.ndarray) -> str:
    """RGB (h, w, 3) uint8 as a data URI."""
    bgr = np.ascontiguousarray(picture[..., ::-1])
    encoded = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1]
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode()}"


def embed_pictures(pictures: Iterable[tuple[str, np.ndarray]]) -> list[dict[str, str]]:
    """Titles and pictures, RGB (h, w, 3) uint8, as the template reads them: title, source."""
    return [{"title": title, "source": embed_picture(picture)} for title, picture in pictures]


def embed_svg(text: str) -> str:
    """A figure as a data URI: in an img, no script of an SVG is run."""
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


def render(template: Path, **context: object) -> str:
    """Fill a template. Every value is escaped; an unknown name in the template is an error.

    Beside the template lie its style sheet and script, `<name>.css` and `<name>.js`, which begin
    with those of viewer/layers. The template gets them as `style` and `script`, and as `style_hash`
    and `script_hash` the sources by which a Content-Security-Policy lets in these and no others.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name, suffix in (("style", ".css"), ("script", ".js")):
        files = [template.parent / "viewer" / f"layers{suffix}", template.with_suffix(suffix)]
        text = "".join(file.read_text(encoding="utf-8") for file in files)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        context |= {name: Markup(text), f"{name}_hash": f"'sha256-{digest}'"}  # noqa: S704 (our own)
    return environment.get_template(template.name).render(**context)
