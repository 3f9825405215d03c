"""A page of typical tiles: one row per cluster, for a pathologist to name it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from workflow.lib.report.colours import RGB, palette

COLOURS = 40  # then colours repeat: nobody tells more apart
ROWS = 100  # clusters that a page should show at most: a longer one is slow to open
INK, PALE, PAPER = (34, 34, 34), (105, 105, 105), (255, 255, 255)
MARGIN, GAP, LINE, THUMB = 16, 4, 19, 96  # px on the page; THUMB is the side of a tile
SWATCH, TEXT = 48, 250  # px wide: the colour and the words of a cluster


@dataclass(frozen=True)
class Row:
    """A cluster: how much there is of it, and tiles (n, t, t, 3) uint8 to look at."""

    cluster: int
    tiles: int
    slides: int
    patients: int
    labels: dict[str, int]  # tiles by the label of their slide; empty in a study without labels
    nearest: np.ndarray
    drawn: np.ndarray


def cluster_colours(count: int) -> list[RGB]:
    """A colour per cluster: the same on the page and on every map of a fold."""
    colours = palette(min(count, COLOURS))
    return [colours[cluster % COLOURS] for cluster in range(count)]


def draw_montage(rows: Sequence[Row], *, title: str) -> np.ndarray:
    """The page, (H, W, 3) uint8: colour and id, size, labels, typical tiles, tiles at random.

    Those nearest to the centre say what a cluster is about; only those at random say how mixed it
    is. After 100 clusters the page says how many more there are.
    """
    colours, more = cluster_colours(len(rows)), max(0, len(rows) - ROWS)
    shown = rows[:ROWS]
    labels = sorted({label for row in rows for label in row.labels})
    total = sum(row.tiles for row in rows)
    near, far = (max((len(tiles) for tiles in side), default=0) for side in _sides(shown))
    left = MARGIN + SWATCH + MARGIN + TEXT
    middle = left + near * (THUMB + GAP) + (MARGIN if near else 0)
    top = MARGIN + 4 * LINE
    width = max(middle + far * (THUMB + GAP) + MARGIN, left + 2 * THUMB)
    height = top + len(shown) * (THUMB + 2 * GAP) + MARGIN + (LINE if more else 0)
    page = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((MARGIN, MARGIN - 4), title, INK, font(19))
    _draw_key(draw, labels, width - MARGIN)
    if near:
        draw.text((left, top - LINE), "nearest to the centre", PALE, font(13))
    if far:
        draw.text((middle, top - LINE), "drawn at random", PALE, font(13))
    for index, row in enumerate(shown):
        y = top + index * (THUMB + 2 * GAP)
        _draw_words(draw, row, y, colours[row.cluster], total, labels)
        for x, tiles in ((left, row.nearest), (middle, row.drawn)):
            for column, tile in enumerate(tiles):
                small = Image.fromarray(tile).resize((THUMB, THUMB), Image.Resampling.LANCZOS)
                page.paste(small, (x + column * (THUMB + GAP), y))
    if more:
        rest = f"and {more} more clusters, which the table of sizes lists"
        draw.text((MARGIN, height - MARGIN - LINE), rest, PALE, font(13))
    return np.asarray(page)


def choose_tiles(
    distance: np.ndarray,
    slides: np.ndarray,
    corners: np.ndarray,
    *,
    tile_px: int,
    count: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Which of N tiles to show: up to half of `count` the nearest, up to half at random.

    `distance` (N,) is that to the centre, `slides` (N,) and `corners` (N, 2) in store px say where
    the tile of `tile_px` lies. No tile overlaps another that is shown: half of it is the same.
    """
    chosen: list[int] = []

    def take(candidates: np.ndarray, number: int) -> np.ndarray:
        start = len(chosen)
        for index in candidates:
            if len(chosen) - start == number:
                break
            same = np.array([other for other in chosen if slides[other] == slides[index]], int)
            apart = np.abs(corners[same] - corners[index]).max(axis=1, initial=0) >= tile_px
            if apart.all():
                chosen.append(int(index))
        return np.array(chosen[start:], int)

    near = take(np.argsort(distance, kind="stable"), (count + 1) // 2)
    return near, take(rng.permutation(len(distance)), count // 2)


def draw_swatch(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], colour: RGB, words: str, size: int
) -> None:
    """A filled box (x0, y0, x1, y1) with `words` in its middle, black or white to be readable."""
    draw.rectangle(box, fill=colour)
    luminance = np.dot(colour, (0.299, 0.587, 0.114))
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    draw.text(middle, words, INK if luminance > 120 else PAPER, font(size), anchor="mm")


def shorten(words: str, width: int, size: int) -> str:
    """`words` cut to `width` px of the font, with an ellipsis where something was cut."""
    if font(size).getlength(words) <= width:
        return words
    while words and font(size).getlength(words + "…") > width:
        words = words[:-1]
    return words + "…"


def count(number: int, noun: str) -> str:
    """
    >>> count(1, "tile"), count(2500, "tile")
    ('1 tile', '2,500 tiles')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow, so that a page looks alike on every machine."""
    return ImageFont.load_default(size)


def label_greys(labels: Sequence[str]) -> dict[str, RGB]:
    """Greys from dark to pale: colours are taken by the clusters."""
    levels = np.linspace(60, 215, max(2, len(labels))).round().astype(int)
    return {label: (int(level),) * 3 for label, level in zip(labels, levels, strict=False)}


def _draw_key(draw: ImageDraw.ImageDraw, labels: Sequence[str], end: int) -> None:
    """Under the title: which grey of the bars is which label, as far as there is room."""
    x, y = MARGIN, MARGIN + LINE + 6
    if labels:
        draw.text((x, y), "tiles by label of their slide:", PALE, font(13))
        x += int(font(13).getlength("tiles by label of their slide:")) + 10
    for label, grey in label_greys(labels).items():
        words = shorten(label, 160, 13)
        if x + 18 + font(13).getlength(words) > end:
            break
        draw.rectangle((x, y + 2, x + 12, y + 14), fill=grey)
        draw.text((x + 18, y), words, INK, font(13))
        x += 34 + int(font(13).getlength(words))


def _draw_words(
    draw: ImageDraw.ImageDraw,
    row: Row,
    y: int,
    colour: RGB,
    total: int,
    labels: Sequence[str],
) -> None:
    """The colour, id, size and label composition of a cluster."""
    draw_swatch(draw, (MARGIN, y, MARGIN + SWATCH, y + THUMB - 1), colour, str(row.cluster), 20)
    x, width = MARGIN + SWATCH + MARGIN, TEXT - MARGIN
    draw.text((x, y), f"{count(row.tiles, 'tile')}, {row.tiles / max(total, 1):.1%}", INK, font(16))
    where = f"{count(row.slides, 'slide')} of {count(row.patients, 'patient')}"
    draw.text((x, y + 23), where, PALE, font(13))
    if not row.labels:
        return
    x0 = float(x)
    for label, grey in label_greys(labels).items():
        x1 = x0 + width * row.labels.get(label, 0) / row.tiles
        if x1 > x0:
            draw.rectangle((round(x0), y + 48, max(round(x0), round(x1) - 1), y + 60), fill=grey)
        x0 = x1
    draw.text((x, y + 66), _shares(row, width), INK, font(13))


def _shares(row: Row, width: int) -> str:
    """The most frequent labels of a cluster with their share, as many as fit into `width` px."""
    words = ""
    for label, tiles in sorted(row.labels.items(), key=lambda item: (-item[1], item[0])):
        share = f" {tiles / row.tiles:.0%}"
        longer = f"{words}, {label}{share}" if words else label + share
        if font(13).getlength(longer) > width:
            return words or shorten(label, width - int(font(13).getlength(share)), 13) + share
        words = longer
    return words


def _sides(rows: Sequence[Row]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    return [row.nearest for row in rows], [row.drawn for row in rows]
