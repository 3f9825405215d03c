"""The objects that are marked on a slide, told apart: of whole bands of rows, and tile by tile."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from skimage.measure import label

from workflow.lib.annotations import Area, read_areas
from workflow.lib.stores import Tiles
from workflow.lib.truth import DRAWINGS, rasterise, read_mask


def read_instances(
    path: Path,
    *,
    shape_px0: tuple[int, int],
    out_shape: tuple[int, int],
    scale: float,
    rows: tuple[int, int],
) -> np.ndarray:
    """Labels (h, w) int32 of the objects in `rows` of a mask (`truth.read_mask`), 0 between them.

    An area of a drawing is an object, and of areas that overlap the later has the pixel. In a label
    image pixels with the same label that touch, also at a corner, are one: objects that have labels
    of their own stay apart, and without such labels an object is what hangs together. Labels say
    nothing beyond one call. Raises ValueError as `read_mask` does.
    """
    mask = read_mask(path, shape_px0=shape_px0, out_shape=out_shape, scale=scale, rows=rows)
    if path.suffix.lower() not in DRAWINGS:
        return label(mask, background=0, connectivity=2).astype(np.int32)
    found = np.zeros(mask.shape, np.int32)
    drawn = [area for area in read_areas(path) if not area.cut and _reaches(area, rows, scale)]
    for number, area in enumerate(drawn, start=1):
        inside = rasterise([area], steps=(scale, scale), rows=rows, width=out_shape[1])
        found[(inside & mask) > 0] = number
    return found


def tile_instances(mask: Path | None, store: Tiles, *, margin_px: int = 0) -> Iterator[np.ndarray]:
    """Objects (t + 2m, t + 2m) int32 in each tile of a store, m = `margin_px` around it included.

    Zero without a mask and outside of the slide. One band of rows is in memory at a time, so that
    objects hang together as far as the band of their tile shows it.
    """
    side = store.attrs["tile_px"] + 2 * margin_px
    shape = (store.attrs["height_px"], store.attrs["width_px"])
    shape_px0 = (store.attrs["height_px0"], store.attrs["width_px0"])
    band, above = np.zeros((side, shape[1] + 2 * side), np.int32), None
    for top, left in (store.positions_px - margin_px).tolist():
        if mask is not None and top != above:
            rows, above = (max(top, 0), min(top + side, shape[0])), top
            found = read_instances(
                mask, shape_px0=shape_px0, out_shape=shape, scale=store.attrs["scale"], rows=rows
            )
            band[:] = 0
            band[rows[0] - top : rows[1] - top, side : side + shape[1]] = found
        yield band[:, side + left : 2 * side + left].copy()


def _reaches(area: Area, rows: tuple[int, int], scale: float) -> bool:
    y = np.concatenate([ring[:, 0] for ring in area.rings]) / scale
    return len(y) > 0 and y.min() < rows[1] and y.max() > rows[0]
