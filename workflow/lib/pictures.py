"""Pictures of slides for the page: read, sharp enough to look at, with the pixel truth drawn in."""

from pathlib import Path

import cv2
import numpy as np

from workflow.lib.cluster_maps import lay_tiles
from workflow.lib.stores import Tiles

BLURRED = 2  # times; a thumbnail enlarged by more than this needs sharper pixels
LINE, HALO = (0, 114, 178), (255, 255, 255)  # blue on white: seen on pink, purple and glass


def read_picture(path: Path) -> np.ndarray:
    """A picture as RGB (h, w, 3) uint8.

    Raises ValueError when the file is no picture.
    """
    pixels = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if pixels is None:
        raise ValueError(f"{path} is not a picture; delete its folder and run again")
    return np.ascontiguousarray(pixels[..., ::-1])


def shrink(picture: np.ndarray, max_side_px: int) -> np.ndarray:
    """A picture (h, w, 3) whose longer side is at most `max_side_px`."""
    factor = max_side_px / max(picture.shape[:2])
    if factor >= 1:
        return picture
    size = (max(1, round(side * factor)) for side in picture.shape[1::-1])
    return cv2.resize(picture, tuple(size), interpolation=cv2.INTER_AREA)


def sharpen(thumbnail: np.ndarray, tiles: Tiles, *, max_side_px: int) -> np.ndarray:
    """A thumbnail (h, w, 3) as it is, or enlarged with the pixels of the tiles in their places.

    The thumbnail of a small slide is a few pixels wide. It is enlarged to `max_side_px`, though no
    finer than the tiles are, where this is more than twice its size.
    """
    size_px = np.array([tiles.attrs["height_px"], tiles.attrs["width_px"]])
    scale = min(1.0, max_side_px / size_px.max())
    shape = np.maximum(1, np.rint(size_px * scale)).astype(int)
    if shape.max() <= BLURRED * max(thumbnail.shape[:2]):
        return thumbnail
    ends = np.minimum(tiles.positions_px + tiles.attrs["tile_px"], size_px)
    corners = np.concatenate([tiles.positions_px, ends], axis=1)
    boxes = np.rint(corners * np.tile(shape / size_px, 2)).astype(int)
    inside = ends - tiles.positions_px  # what of a tile lies on the slide
    pixels = (tiles.pixels(i)[:rows, :columns] for i, (rows, columns) in enumerate(inside))
    return lay_tiles(thumbnail, tuple(shape), zip(boxes, pixels, strict=True))


def outline(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture (h, w, 3) with a line around what `mask` (h, w) bool marks."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(max(mask.shape) / 300))
    drawn = picture.copy()
    for colour, thickness in ((HALO, width + 2), (LINE, width)):
        cv2.drawContours(drawn, contours, -1, colour, thickness, cv2.LINE_AA)
    return drawn
