"""What somebody marked on a slide, as a mask: the truth for evaluation, or the user's own tissue.

One rule for every kind of file: a mask pixel has the label found at its centre.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile
import zarr
from PIL import Image

from workflow.lib.slides.annotations import Area, read_areas

DRAWINGS = {".geojson", ".json", ".gz", ".xml"}
TIFFS = {".tif", ".tiff", ".btf"}
IMAGES = {".png", ".bmp"}
BLOCK_PX = 1 << 24  # pixels of a label image that are decoded at a time
SLACK = 0.01  # share of a side by which a drawn outline may stand over the edge of the slide


def read_mask(
    path: Path,
    *,
    shape_px0: tuple[int, int],
    out_shape: tuple[int, int],
    scale: float | None = None,
    rows: tuple[int, int] | None = None,
) -> np.ndarray:
    """The mask of a slide of `shape_px0` (height, width in level-0 px), (h, w) = `out_shape`.

    `path` is a label image (PNG, BMP, TIFF) of the slide's aspect ratio in any size, or a drawing
    that `annotations.read_areas` reads, in level-0 px. A drawing gives uint8, 1 inside. An image
    gives its labels as they are, uint8 or int32, except that 0 and 255 alone become 0 and 1.

    Mask pixel (i, j) has its centre at ((i + 0.5) * scale, (j + 0.5) * scale) in level-0 px; the
    scale of a tile store stands in its attributes, and without one the mask is the slide from edge
    to edge. `rows` (first, last + 1) gives only these rows of it, where the whole is too large.

    Raises ValueError when the file is of no such kind, does not fit the slide or is not a mask.
    """
    if scale is None:
        steps = (shape_px0[0] / out_shape[0], shape_px0[1] / out_shape[1])
    else:
        steps = (scale, scale)
    centres = [(np.arange(side) + 0.5) * step for side, step in zip(out_shape, steps, strict=True)]
    rows = rows or (0, out_shape[0])
    suffix = path.suffix.lower()
    if suffix in DRAWINGS:
        areas = read_drawing(path, shape_px0)
        return rasterise(areas, steps=steps, rows=rows, width=out_shape[1])
    centres[0] = centres[0][slice(*rows)]
    if suffix in TIFFS:
        with _decoding(path), tifffile.TiffFile(path) as file:
            return _sample(path, _open_tiff(path, file), shape_px0, centres)
    if suffix in IMAGES:
        with _decoding(path):
            return _sample(path, _open_image(path), shape_px0, centres)
    raise ValueError(
        f"{path.name} is no mask that can be read; give a label image ({_list(IMAGES | TIFFS)})"
        f" or a drawing ({_list(DRAWINGS)})"
    )


def read_drawing(path: Path, shape_px0: tuple[int, int]) -> list[Area]:
    """The areas of a drawing (`annotations.read_areas`) on a slide of `shape_px0`.

    Raises ValueError for a file that cannot be read and for areas outside the slide.
    """
    areas = read_areas(path)
    _check_inside(path, areas, shape_px0)
    return areas


def rasterise(
    areas: list[Area], *, steps: tuple[float, float], rows: tuple[int, int], width: int
) -> np.ndarray:
    """1 where the centre of a pixel lies in an area and in no cut, else 0, (h, width) uint8.

    `steps` are the level-0 px per mask pixel (down, across), `rows` the first and the last + 1.
    Exact to the pixel centre: cv2.fillPoly would also fill every pixel that an outline touches,
    half a pixel too much on all sides.
    """
    mask = np.zeros((rows[1] - rows[0], width), np.uint8)
    for area in sorted(areas, key=lambda area: area.cut):
        (top, left), inside = fill(area, steps=steps, rows=rows, width=width)
        window = mask[top : top + inside.shape[0], left : left + inside.shape[1]]
        if area.cut:
            window &= 1 - inside
        else:
            window |= inside
    return mask


def fill(
    area: Area, *, steps: tuple[float, float], rows: tuple[int, int], width: int
) -> tuple[tuple[int, int], np.ndarray]:
    """What lies inside of an area, (h, w) uint8, no wider than it, and where in the rows it starts.

    Arguments, and what a pixel is, as in `rasterise`; a cut area is filled like any other.
    """
    rings = [ring / steps - (rows[0], 0) for ring in area.rings if len(ring) >= 3]
    if not rings:
        return (0, 0), np.zeros((0, 0), np.uint8)
    return _inside(rings, (rows[1] - rows[0], width))


def _inside(rings: list[np.ndarray], shape: tuple[int, int]) -> tuple[tuple[int, int], np.ndarray]:
    """Even-odd filling of rings (n, 2) in mask px: its top left corner and (h, w) uint8.

    An outline crosses a row of pixel centres an even number of times. Along the row, every crossing
    turns outside into inside and back.
    """
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    # Pixel i is the first whose centre i + 0.5 is at or beyond a coordinate: ceil(c - 0.5).
    first = np.clip(np.ceil(start.min(axis=0) - 0.5), 0, shape).astype(int)
    last = np.clip(np.ceil(start.max(axis=0) - 0.5), 0, shape).astype(int)

    rows = np.clip(np.ceil(np.stack([start, end])[..., 0] - 0.5), first[0], last[0]).astype(int)
    low, count = rows.min(axis=0), np.ptp(rows, axis=0)
    edge = np.repeat(np.arange(len(start)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - low, count)
    fall, shift = (end - start)[edge].T  # never level: a level edge crosses no row
    x = start[edge, 1] + (row + 0.5 - start[edge, 0]) * shift / fall
    column = np.clip(np.ceil(x - 0.5), first[1], last[1]).astype(int)

    turns = np.zeros((last[0] - first[0], last[1] - first[1] + 1), np.uint8)
    np.bitwise_xor.at(turns, (row - first[0], column - first[1]), 1)
    np.bitwise_xor.accumulate(turns, axis=1, out=turns)
    return tuple(first), turns[:, :-1]


def _check_inside(path: Path, areas: list[Area], shape_px0: tuple[int, int]) -> None:
    slack = SLACK * np.array(shape_px0)
    for ring in (ring for area in areas for ring in area.rings):
        outside = ((ring < -slack) | (ring > shape_px0 + slack)).any(axis=1)
        if outside.any():
            y, x = ring[outside][0]
            raise ValueError(
                f"{path.name} draws at x = {x:g}, y = {y:g}, outside the slide of"
                f" {_size(shape_px0)} px; coordinates are level-0 pixels: check that the file"
                " belongs to this slide and was exported at full resolution"
            )


def _open_tiff(path: Path, file: tifffile.TiffFile) -> zarr.Array:
    """The first image of a TIFF at full size, (h, w) or (h, w, c), decoded where it is read."""
    series = file.series[0]
    if series.axes not in ("YX", "YXS"):
        raise ValueError(f"{path.name} has the axes {series.axes}; save one plane of labels")
    return zarr.open_array(series.aszarr(level=0), mode="r")


def _open_image(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image)  # of a palette image the indices, which are the labels
    except Image.DecompressionBombError as error:
        raise ValueError(f"{path.name} is too large for its format; save a tiled TIFF") from error


def _sample(
    path: Path, image: object, shape_px0: tuple[int, int], centres: list[np.ndarray]
) -> np.ndarray:
    """Labels of `image` (array-like, (h, w) or (h, w, c)) at `centres` (rows, columns) in px0."""
    shape = image.shape[:2]
    if not _fits(shape, shape_px0):
        raise ValueError(
            f"{path.name} is {_size(shape)} px, which is not the shape of the slide of"
            f" {_size(shape_px0)} px; export the mask of the whole slide, in any size"
        )
    if image.dtype.kind not in "bui":
        raise ValueError(f"{path.name} holds {image.dtype} values; save whole numbers as labels")
    rows, columns = (
        np.minimum((centre * side / side0).astype(int), side - 1)
        for centre, side, side0 in zip(centres, shape, shape_px0, strict=True)
    )
    mask = np.empty((len(rows), len(columns)), np.int32)
    stride = max(1.0, shape[0] / shape_px0[0] * (centres[0][-1] - centres[0][0]) / len(rows))
    step = max(1, int(BLOCK_PX / (shape[1] * stride)))
    for start in range(0, len(rows), step):
        wanted = rows[start : start + step]
        block = _one_channel(path, np.asarray(image[wanted[0] : wanted[-1] + 1]))
        mask[start : start + step] = block[wanted - wanted[0]][:, columns]
    if not ((mask != 0) & (mask != 255)).any():
        return (mask > 0).astype(np.uint8)
    return mask.astype(np.uint8) if mask.min() >= 0 and mask.max() <= 255 else mask


def _one_channel(path: Path, block: np.ndarray) -> np.ndarray:
    """Labels (h, w) of a grey image that may be stored as RGB, with or without alpha."""
    if block.ndim == 2:
        return block
    colours = block[..., : 3 if block.shape[2] >= 3 else 1]
    if (colours != colours[..., :1]).any():
        raise ValueError(f"{path.name} is a colour picture; save the labels as one grey channel")
    return colours[..., 0]


def _fits(shape: tuple[int, int], shape_px0: tuple[int, int]) -> bool:
    """Whether one scale leads from the slide to `shape`, each side rounded by less than 2 px."""
    sides = list(zip(shape_px0, shape, strict=True))
    least = max(side0 / (side + 2) for side0, side in sides)
    most = min(side0 / (side - 2) if side > 2 else math.inf for side0, side in sides)
    return least < most


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Turns what a decoder raises on a damaged file, each its own kind, into a ValueError."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(path.name):
            raise
        found = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path.name} is not a readable image ({found}); save it again") from error


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"


def _list(suffixes: set[str]) -> str:
    return ", ".join(sorted(suffixes))
