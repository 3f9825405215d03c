"""The objects that are marked on a slide, told apart: of whole bands of rows, and tile by tile."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from skimage.measure import label

from workflow.lib.slides.annotations import Area
from workflow.lib.slides.truth import DRAWINGS, fill, read_drawing, read_mask
from workflow.lib.tiles.stores import Tiles


def open_instances(
    path: Path, *, shape_px0: tuple[int, int], out_shape: tuple[int, int], scale: float
) -> Callable[[tuple[int, int]], np.ndarray]:
    """Reads labels (h, w) int32 of the objects in some rows (first, last + 1), 0 between them.

    path, shape_px0, out_shape, scale: a mask as in `truth.read_mask`; a drawing is parsed once.

    An area of a drawing is an object, and of areas that overlap the later has the pixel. In a label
    image pixels with the same label that touch, also at a corner, are one: objects that have labels
    of their own stay apart, and without such labels an object is what hangs together. Labels say
    nothing beyond one call. Raises ValueError as `read_mask` does, of an image when it is read.
    """
    if path.suffix.lower() not in DRAWINGS:
        about = {"shape_px0": shape_px0, "out_shape": out_shape, "scale": scale}
        return lambda rows: label(
            read_mask(path, **about, rows=rows), background=0, connectivity=2
        ).astype(np.int32)
    areas = sorted(read_drawing(path, shape_px0), key=lambda area: area.cut)
    placed = [(area, *_rows(area, scale)) for area in areas]

    def read(rows: tuple[int, int]) -> np.ndarray:
        found = np.zeros((rows[1] - rows[0], out_shape[1]), np.int32)
        here = [area for area, first, last in placed if first < rows[1] and last > rows[0]]
        for number, area in enumerate(here, start=1):
            (top, left), inside = fill(area, steps=(scale, scale), rows=rows, width=out_shape[1])
            window = found[top : top + inside.shape[0], left : left + inside.shape[1]]
            window[inside > 0] = 0 if area.cut else number
        return found

    return read


def tile_instances(mask: Path | None, store: Tiles, *, margin_px: int = 0) -> Iterator[np.ndarray]:
    """Objects (t + 2m, t + 2m) int32 in each tile of a store, m = `margin_px` around it included.

    Zero without a mask and outside of the slide. One band of rows is in memory at a time, so that
    objects hang together as far as the band of their tile shows it.
    """
    side = store.attrs["tile_px"] + 2 * margin_px
    shape = (store.attrs["height_px"], store.attrs["width_px"])
    shape_px0 = (store.attrs["height_px0"], store.attrs["width_px0"])
    band, above, read = np.zeros((side, shape[1] + 2 * side), np.int32), None, None
    for top, left in (store.positions_px - margin_px).tolist():
        if mask is not None and top != above:
            rows, above = (max(top, 0), min(top + side, shape[0])), top
            read = read or open_instances(
                mask, shape_px0=shape_px0, out_shape=shape, scale=store.attrs["scale"]
            )
            band[:] = 0
            band[rows[0] - top : rows[1] - top, side : side + shape[1]] = read(rows)
        yield band[:, side + left : 2 * side + left].copy()


def _rows(area: Area, scale: float) -> tuple[float, float]:
    """From where to where an area reaches, in rows of the mask; an empty one reaches none."""
    y = np.concatenate([*(ring[:, 0] for ring in area.rings), np.empty(0)]) / scale
    return y.min(initial=np.inf), y.max(initial=-np.inf)
