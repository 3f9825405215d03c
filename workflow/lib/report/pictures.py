"""Pictures of a slide for the page: sharp enough to look at, with the pixel truth drawn in."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from workflow.lib.report.cluster_maps import lay_tiles
from workflow.lib.slides.truth import read_mask
from workflow.lib.tiles.stores import Tiles

BLURRED = 2  # times; a thumbnail enlarged by more than this needs sharper pixels
LINE, HALO = (0, 114, 178), (255, 255, 255)  # blue on white: seen on pink, purple and glass
EDGE = (20, 20, 20)  # on white, too: seen on the greens and yellow of a heatmap


def read_picture(path: Path) -> np.ndarray:
    """A picture as RGB (h, w, 3) uint8.

    Raises ValueError when the file is no picture.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path} is not a picture; delete its folder and run again")
    return np.ascontiguousarray(pixels[..., ::-1])


def read_small(path: Path, *, max_side_px: int) -> np.ndarray:
    """A JPEG file as RGB (h, w, 3) uint8 at most `max_side_px` large, sooner than it is decoded."""
    with Image.open(path) as image:
        image.draft("RGB", (2 * max_side_px, 2 * max_side_px))  # decodes at a fraction of the size
        pixels = np.asarray(image.convert("RGB"))
    return shrink(pixels, max_side_px=max_side_px)


def shrink(
    picture: np.ndarray, *, max_side_px: float = np.inf, max_width_px: float = np.inf
) -> np.ndarray:
    """A picture (h, w, 3) no larger than asked for, in its own proportions."""
    height, width = picture.shape[:2]
    factor = min(max_side_px / max(height, width), max_width_px / width)
    if factor >= 1:
        return picture
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def draw_slide(thumbnail: np.ndarray, tiles: Tiles, *, max_side_px: int) -> np.ndarray:
    """A slide from its thumbnail (h, w, 3), at most `max_side_px` large.

    The thumbnail of a small slide is a few pixels wide. Where it would have to be enlarged by more
    than two, the pixels of the tiles are laid in their places; it gets no finer than they are.
    """
    size_px = np.array([tiles.attrs["height_px"], tiles.attrs["width_px"]])
    scale = min(1.0, max_side_px / size_px.max())
    shape = np.maximum(1, np.rint(size_px * scale)).astype(int)
    if shape.max() <= BLURRED * max(thumbnail.shape[:2]):
        return shrink(thumbnail, max_side_px=max_side_px)
    ends = np.minimum(tiles.positions_px + tiles.attrs["tile_px"], size_px)
    corners = np.concatenate([tiles.positions_px, ends], axis=1)
    boxes = np.rint(corners * np.tile(shape / size_px, 2)).astype(int)
    inside = ends - tiles.positions_px  # how much of a tile lies on the slide
    pixels = (tiles.pixels(i)[:rows, :columns] for i, (rows, columns) in enumerate(inside))
    return lay_tiles(thumbnail, tuple(shape), zip(boxes, pixels, strict=True))


def draw_truth(
    picture: np.ndarray, mask: Path, *, shape_px0: tuple[int, int], size_mm: tuple[float, float]
) -> tuple[str, np.ndarray]:
    """What a mask file marks on the picture (h, w, 3) of a slide: a title, and the picture of it.

    `shape_px0` and `size_mm` are height and width of the slide. A mask that does not fit it is not
    drawn, and the title says why.
    """
    try:
        marked = read_mask(mask, shape_px0=shape_px0, out_shape=picture.shape[:2]) > 0
    except ValueError as error:
        return f"pixel truth cannot be shown: {error}", picture
    if not marked.any():
        return "pixel truth: nothing marked", picture
    area_mm2 = marked.mean() * size_mm[0] * size_mm[1]
    return f"pixel truth: {area_mm2:.2f} mm² marked", outline(picture, marked)


def outline(picture: np.ndarray, mask: np.ndarray, line: tuple[int, int, int] = LINE) -> np.ndarray:
    """A picture (h, w, 3) with a line around what `mask` (h, w) bool marks."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(2, round(max(mask.shape) / 300))
    drawn = picture.copy()
    for colour, thickness in ((HALO, width + 2), (line, width)):
        cv2.drawContours(drawn, contours, -1, colour, thickness, cv2.LINE_AA)
    return drawn
