"""Pictures made of tiles: rows of them with words beneath, filters in a grid, or a sentence."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from workflow.lib.report.colours import RGB
from workflow.lib.report.montage import (
    GAP,
    INK,
    LINE,
    MARGIN,
    PALE,
    PAPER,
    SWATCH,
    THUMB,
    draw_swatch,
    font,
    shorten,
)

SMALL = 12  # px; the words beneath a tile
STEP = 15  # px from one line of them to the next
FILTERS = 256  # that a mosaic shows at most: a transformer has a thousand
CELL = 44  # px; the least side of a filter in the mosaic

Box = tuple[float, float, float, float]  # y0, x0, y1, x1 as shares of the tile's side


@dataclass(frozen=True)
class Cell:
    """A tile (t, t, 3) uint8, words to write beneath it, and a box to draw into it."""

    pixels: np.ndarray
    words: Sequence[str] = ()
    box: Box | None = None


@dataclass(frozen=True)
class Strip:
    """A row of the page: a coloured field with a short word, and tiles in groups."""

    word: str
    colour: RGB
    groups: Sequence[Sequence[Cell]]


def draw_gallery(
    strips: Sequence[Strip], *, title: str, headings: Sequence[str], note: str = ""
) -> np.ndarray:
    """The page, (H, W, 3) uint8: strips under a title, with one of `headings` over each group.

    A group without tiles keeps the room of one, where a dash says that there is nothing. `note`
    is a sentence under the title. Words that do not fit are cut with an ellipsis. Tiles are brought
    to one size, small ones with their pixels kept.
    """
    sizes = [
        max((len(strip.groups[group]) for strip in strips), default=1) or 1
        for group in range(len(headings))
    ]
    words = max((len(cell.words) for strip in strips for cell in _cells(strip)), default=0)
    left = np.cumsum([0, *(size * (THUMB + GAP) + MARGIN for size in sizes)])
    left += 2 * MARGIN + SWATCH
    top = MARGIN + (4 if note else 3) * LINE
    pitch = THUMB + words * STEP + 3 * GAP
    least = [font(19).getlength(title), font(13).getlength(note)]
    width = max(int(left[-1]), MARGIN * 2 + int(max(least)) + 1)
    page = Image.new("RGB", (width, top + len(strips) * pitch + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 4), title, INK, font(19))
    draw.text((MARGIN, MARGIN + LINE + 3), note, PALE, font(13))
    for heading, x, size in zip(headings, left, sizes, strict=False):
        room = size * (THUMB + GAP) - GAP
        draw.text((x, top - LINE), shorten(heading, room, 13), PALE, font(13))
    for index, strip in enumerate(strips):
        y = top + index * pitch
        box = (MARGIN, y, MARGIN + SWATCH, y + THUMB - 1)
        draw_swatch(draw, box, strip.colour, strip.word, 20 if len(strip.word) < 4 else 16)
        for group, x in zip(strip.groups, left, strict=False):
            for column, cell in enumerate(group):
                _draw_cell(page, draw, cell, int(x) + column * (THUMB + GAP), y)
            if not group:
                middle = (int(x) + THUMB // 2, y + THUMB // 2)
                draw.text(middle, "–", PALE, font(19), anchor="mm")
    return np.asarray(page)


def draw_filters(filters: np.ndarray, *, title: str) -> np.ndarray:
    """Filters (F, 3, k, k) as a mosaic (H, W, 3) uint8 of their weights; grey is a weight of 0.

    Each is scaled by its own largest weight, symmetrically, and enlarged with its pixels kept.
    After 256 filters the title says how many there are.
    """
    shown = filters[:FILTERS]
    kernel = filters.shape[-1]
    factor = max(1, math.ceil(CELL / kernel))
    side = kernel * factor
    columns = max(1, min(len(shown), math.ceil(math.sqrt(2 * len(shown)))))
    rows = math.ceil(len(shown) / columns)
    if len(filters) > len(shown):
        title += f"; the first {len(shown)} of {len(filters)}"
    width = max(columns * (side + GAP), int(font(16).getlength(title)) + 1) + 2 * MARGIN
    top = MARGIN + 2 * LINE
    page = np.full((top + rows * (side + GAP) + MARGIN, width, 3), 255, np.uint8)
    for index, one in enumerate(shown):
        y, x = divmod(index, columns)
        y, x = top + y * (side + GAP), MARGIN + x * (side + GAP)
        page[y : y + side, x : x + side] = scale_filter(one).repeat(factor, 0).repeat(factor, 1)
    picture = Image.fromarray(page)
    ImageDraw.Draw(picture).text((MARGIN, MARGIN - 2), title, INK, font(16))
    return np.asarray(picture)


def scale_filter(weights: np.ndarray) -> np.ndarray:
    """Weights (3, k, k) as RGB (k, k, 3) uint8: 0 is 128, the largest in size 1 or 255.

    >>> scale_filter(np.array([[[0.0]], [[-0.2]], [[0.1]]])).tolist()
    [[[128, 1, 192]]]
    """
    largest = float(np.abs(weights).max())
    scaled = weights / largest if largest > 0 else np.zeros_like(weights)
    return np.floor(128.5 + 127 * scaled).astype(np.uint8).transpose(1, 2, 0)


def draw_sentence(sentence: str, *, title: str) -> np.ndarray:
    """A picture (H, W, 3) uint8 that says why there is none."""
    lines = [(title, INK, 19), (sentence, PALE, 13)]
    width = max(font(size).getlength(text) for text, _, size in lines)
    page = Image.new("RGB", (int(width) + 1 + 2 * MARGIN, 2 * MARGIN + 3 * LINE), PAPER)
    draw = ImageDraw.Draw(page)
    for row, (text, colour, size) in enumerate(lines):
        draw.text((MARGIN, MARGIN + row * 2 * LINE - 4), text, colour, font(size))
    return np.asarray(page)


def _draw_cell(page: Image.Image, draw: ImageDraw.ImageDraw, cell: Cell, x: int, y: int) -> None:
    tile = Image.fromarray(cell.pixels)
    kept = Image.Resampling.NEAREST if tile.width < THUMB / 2 else Image.Resampling.LANCZOS
    page.paste(tile.resize((THUMB, THUMB), kept), (x, y))
    if cell.box:
        y0, x0, y1, x1 = (round(share * (THUMB - 1)) for share in cell.box)
        draw.rectangle((x + x0, y + y0, x + x1, y + y1), outline=PAPER, width=3)
        draw.rectangle((x + x0 + 1, y + y0 + 1, x + x1 - 1, y + y1 - 1), outline=INK)
    for line, text in enumerate(cell.words):
        colour = INK if line == 0 else PALE
        place = (x, y + THUMB + 2 + line * STEP)
        draw.text(place, shorten(text, THUMB, SMALL), colour, font(SMALL))


def _cells(strip: Strip) -> list[Cell]:
    return [cell for group in strip.groups for cell in group]
