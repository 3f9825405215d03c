"""Where the clusters are: a slide in grey, its tiles in the colours of their clusters."""

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw

from workflow.lib.report.colours import RGB
from workflow.lib.report.montage import INK, MARGIN, PALE, PAPER, count, draw_swatch, font, shorten

LEGEND = 200  # px wide
ENTRY = 24  # px high
OPACITY = 0.55  # of a cluster's colour: enough to tell it, and the tissue shows through


def lay_tiles(
    thumbnail: np.ndarray,
    shape: tuple[int, int],
    tiles: Iterable[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """The thumbnail enlarged to `shape` (h, w), with sharper pixels where `tiles` have some.

    `tiles` are boxes (y0, x0, y1, x1) on the enlarged picture, and RGB pixels that fill them.
    """
    page = Image.fromarray(thumbnail).resize(shape[::-1], Image.Resampling.BICUBIC)
    for box, pixels in tiles:
        y0, x0, y1, x1 = (int(side) for side in box)
        if y1 > y0 and x1 > x0:
            size = (x1 - x0, y1 - y0)
            page.paste(Image.fromarray(pixels).resize(size, Image.Resampling.BOX), (x0, y0))
    return np.asarray(page)


def colour_tiles(
    picture: np.ndarray, boxes: np.ndarray, ids: np.ndarray, colours: list[RGB]
) -> np.ndarray:
    """`picture` (h, w, 3) uint8 in pale grey; each box (y0, x0, y1, x1) in its cluster's colour.

    The tissue shows through the colour. Where boxes overlap the last one wins.
    """
    luminance = np.asarray(Image.fromarray(picture).convert("L"))[..., None]
    page = np.repeat((255 - 0.6 * (255 - luminance.astype(np.float32))), 3, axis=2)
    for (y0, x0, y1, x1), cluster in zip(boxes, ids, strict=True):
        tile = OPACITY * np.array(colours[cluster]) + (1 - OPACITY) * luminance[y0:y1, x0:x1]
        page[y0:y1, x0:x1] = tile
    return np.rint(page).astype(np.uint8)


def add_legend(
    picture: np.ndarray, ids: np.ndarray, colours: list[RGB], *, title: str, note: str
) -> np.ndarray:
    """`picture` with a title above and, to its right, the clusters of the slide by their share."""
    sizes = np.bincount(ids, minlength=len(colours))
    order = [int(c) for c in np.argsort(-sizes, kind="stable") if sizes[c]]
    height, width = picture.shape[:2]
    top = MARGIN + 46
    room = max(height, 8 * ENTRY) // ENTRY
    shown = order if len(order) <= room else order[: room - 1]
    page = Image.new(
        "RGB",
        (MARGIN + max(width, 160) + MARGIN + LEGEND, top + max(height, room * ENTRY) + MARGIN),
        PAPER,
    )
    draw = ImageDraw.Draw(page)
    across = page.width - 2 * MARGIN
    draw.text((MARGIN, MARGIN - 4), shorten(title, across, 17), INK, font(17))
    draw.text((MARGIN, MARGIN + 19), shorten(note, across, 13), PALE, font(13))
    page.paste(Image.fromarray(picture), (MARGIN, top))
    x = page.width - LEGEND
    for place, cluster in enumerate(shown):
        y = top + place * ENTRY
        tint = tuple(round(OPACITY * part + (1 - OPACITY) * 215) for part in colours[cluster])
        draw.rectangle((x, y, x + 44, y + ENTRY - 5), fill=tint)  # as it looks over tissue
        draw_swatch(draw, (x, y, x + 30, y + ENTRY - 5), colours[cluster], str(cluster), 13)
        words = f"{sizes[cluster] / sizes.sum():.1%}, {count(int(sizes[cluster]), 'tile')}"
        draw.text((x + 52, y + 1), words, INK, font(13))
    if len(shown) < len(order):
        rest = f"and {len(order) - len(shown)} more clusters"
        draw.text((x, top + len(shown) * ENTRY), rest, PALE, font(13))
    if not order:
        draw.text((x, top), "no tile on this slide", PALE, font(13))
    return np.asarray(page)
