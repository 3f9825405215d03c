"""Patches of a slide laid side by side in one picture, a slide of its own for the workflow.

Patch n lies in row n // columns and column n % columns, without a gap, so that a tile grid as wide
as a patch finds each as it was. Cells behind the last patch are white, and background in a mask.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import tifffile


def columns_of(count: int) -> int:
    """Patches in a row of a mosaic of `count`, one at least: about as wide as high.

    >>> [columns_of(count) for count in (1, 2, 4, 5, 100)]
    [1, 2, 2, 3, 10]
    """
    return max(1, math.ceil(math.sqrt(count)))


def write_mosaic(path: Path, patches: Iterable[np.ndarray], *, count: int, side_px: int) -> None:
    """Write patches (side, side) or (side, side, 3) uint8 as a tiled TIFF without loss.

    One patch at a time is held. The file appears when it is whole. Raises ValueError when fewer
    than `count` patches come.
    """
    columns = columns_of(count)
    rows = -(-count // columns)
    patches = iter(patches)
    first = next(patches)
    cells = _cells(first, patches, count=count, total=rows * columns)
    # Without loss: patches were JPEG once, and twice would not be what was published.
    temporary = path.with_suffix(f".{os.getpid()}.part")
    try:
        with tifffile.TiffWriter(temporary, bigtiff=True) as file:
            file.write(
                cells,
                shape=(rows * side_px, columns * side_px, *first.shape[2:]),
                dtype=np.uint8,
                tile=(side_px, side_px),
                photometric="rgb" if first.ndim == 3 else "minisblack",
                compression="zlib",
                predictor=first.ndim == 3,
                metadata=None,
                software="",
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def mosaic_area(count: int, side_px: int) -> str:
    """GeoJSON of where patches lie, in px of the mosaic: for the column `tissue` of a sheet."""
    columns = columns_of(count)
    full, rest = divmod(count, columns)
    rectangles = [(0, 0, columns, full)] if full else []
    rectangles += [(0, full, rest, full + 1)] if rest else []
    features = []
    for left, top, right, bottom in rectangles:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
        ring = [[x * side_px, y * side_px] for x, y in corners]
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": {}, "geometry": geometry})
    return json.dumps({"type": "FeatureCollection", "features": features})


def _cells(
    first: np.ndarray, others: Iterator[np.ndarray], *, count: int, total: int
) -> Iterator[np.ndarray]:
    given = 0
    for patch in chain([first], others):
        given += 1
        yield patch
    if given < count:
        raise ValueError(f"{given} patches came, and a mosaic of {count} was begun")
    blank = np.full_like(first, 255 if first.ndim == 3 else 0)
    for _ in range(total - count):
        yield blank
