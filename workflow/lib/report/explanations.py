"""A page of explained tiles: each beside the maps of what a classifier sees in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workflow.lib.evidence.attributions import Attributions
from workflow.lib.report.colours import OKABE_ITO, probability_colours
from workflow.lib.report.galleries import draw_sentence
from workflow.lib.report.montage import GAP, INK, LINE, MARGIN, PALE, PAPER, font, shorten

SIDE = 192  # px of a picture on the page
WORDS = 200  # px for what is said of a tile
BRIGHTEST = 0.99  # share of the pixels below full strength: one bright pixel darkens no map
OPACITY = 0.7  # of what is strongest; the tissue still shows through
AGAINST, FOR = OKABE_ITO[:2]  # blue and vermillion


@dataclass(frozen=True)
class Explained:
    """A tile: lines about it, and pictures RGB (h, w, 3) uint8 as `colour_maps` gives them."""

    words: Sequence[str]
    pictures: Sequence[np.ndarray | None]


def colour_maps(
    tile: np.ndarray, evidence: np.ndarray, found: Attributions
) -> list[np.ndarray | None]:
    """The tile (t, t, 3) uint8, then its evidence (t, t) in 0..1 and what else is found in it."""
    return [
        tile,
        _lay(tile, probability_colours(evidence), evidence),
        colour_saliency(found.saliency),
        None if found.guided is None else colour_gradients(found.guided),
        colour_occlusion(tile, found.occlusion),
    ]


def draw_explanations(
    rows: Sequence[Explained], *, title: str, note: str, cam: str, side_um: float
) -> np.ndarray:
    """The page, (H, W, 3) uint8: a row per tile, its pictures under headings that say what is what.

    Without a row it is the title and `note`, a sentence that otherwise stands beneath it.
    cam: what the method of the evidence is called
    side_um: of a tile; the first picture of a row has a scale bar
    """
    if not rows:
        return draw_sentence(note, title=title)
    missing = any(picture is None for row in rows for picture in row.pictures)
    guide = "no ReLU that could guide it" if missing else "grey: 0; colours: what excites it"
    headings = [
        ("tile", ""),
        (cam, "yellow: most evidence"),
        ("saliency", "white: small changes count most"),
        ("guided backprop", guide),
        ("occlusion", "orange speaks for it, blue against"),
    ]
    left, top = MARGIN + WORDS + MARGIN, MARGIN + 5 * LINE
    size = (left + len(headings) * (SIDE + GAP) + MARGIN, top + len(rows) * (SIDE + GAP) + MARGIN)
    page = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 4), shorten(title, size[0] - 2 * MARGIN, 19), INK, font(19))
    draw.text((MARGIN, MARGIN + LINE + 3), note, PALE, font(13))
    for column, (what, how) in enumerate(headings):
        x = left + column * (SIDE + GAP)
        draw.text((x, top - 2 * LINE - 2), shorten(what, SIDE, 14), INK, font(14))
        draw.text((x, top - LINE - 1), shorten(how, SIDE, 12), PALE, font(12))
    for place, row in enumerate(rows):
        y = top + place * (SIDE + GAP)
        for line, text in enumerate(row.words):
            ink, size = (INK, 15) if line == 0 else (PALE, 13)
            draw.text((MARGIN, y + line * LINE), shorten(text, WORDS, size), ink, font(size))
        for column, picture in enumerate(row.pictures):
            x = left + column * (SIDE + GAP)
            if picture is None:
                draw.text((x + SIDE // 2, y + SIDE // 2), "–", PALE, font(19), anchor="mm")
                continue
            shown = Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            page.paste(shown, (x, y))
        _draw_bar(draw, left, y, side_um)
    return np.asarray(page)


def colour_saliency(saliency: np.ndarray) -> np.ndarray:
    """Saliency (h, w), 0 or more, as greys (h, w, 3) uint8: black is 0, white the strongest 1%."""
    grey = np.clip(_scale(saliency), 0, 1)
    return np.rint(255 * grey).astype(np.uint8)[..., None].repeat(3, axis=2)


def colour_gradients(gradients: np.ndarray) -> np.ndarray:
    """Gradients (3, h, w) of red, green and blue as (h, w, 3) uint8: grey is 0."""
    scaled = np.clip(_scale(gradients), -1, 1).transpose(1, 2, 0)
    return np.rint(127.5 + 127.5 * scaled).astype(np.uint8)


def colour_occlusion(tile: np.ndarray, fall: np.ndarray) -> np.ndarray:
    """How much a score falls (h, w), over the tile (h, w, 3) uint8 in grey: (h, w, 3) uint8.

    Vermillion where it falls, blue where it rises, as opaque as that is much for this tile.
    """
    strongest = np.abs(fall).max()
    share = np.abs(fall) / strongest if strongest > 0 else np.zeros_like(fall)
    grey = np.asarray(Image.fromarray(tile).convert("L"))[..., None]
    return _lay(grey, np.where(fall[..., None] > 0, FOR, AGAINST), share)


def _lay(picture: np.ndarray, colours: np.ndarray, share: np.ndarray) -> np.ndarray:
    """`colours` (h, w, 3) over a picture (h, w, 3 or 1), as opaque as `share` (h, w) in 0..1."""
    mixed = picture + OPACITY * share[..., None] * (colours.astype(float) - picture)
    return np.rint(mixed).astype(np.uint8)


def _scale(values: np.ndarray) -> np.ndarray:
    """`values` so that all but the largest 1% in size are in -1..1; zeros stay."""
    largest = np.quantile(np.abs(values), BRIGHTEST) or np.abs(values).max()
    return values / largest if largest > 0 else np.zeros_like(values)


def _draw_bar(draw: ImageDraw.ImageDraw, x: int, y: int, side_um: float) -> None:
    """A bar as long as a quarter of the picture at (x, y), with its length, at its lower left."""
    end, below = x + 8 + SIDE // 4, y + SIDE - 9
    words = f"{side_um / 4:.3g} µm"
    greek = ImageFont.truetype(Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 11)
    draw.rectangle((x + 4, below - 20, end + 4, below + 5), fill=PAPER)
    draw.text((x + 8, below - 19), words, INK, greek)
    draw.rectangle((x + 8, below - 1, end - 1, below + 1), fill=INK)
