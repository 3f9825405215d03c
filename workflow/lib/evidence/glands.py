"""Glands by stain and shape: dark walls and the pale lumens that they enclose. Nothing is learnt.

Colonic crypts, ducts, acini and follicles are walls of crowded nuclei round something pale: mucin,
secretion, an empty lumen. Haematoxylin absorbs red, so that a wall is dark in red. On a map of
that darkness an area closing (Vincent, 1993) raises whatever is enclosed to the level of its wall,
at all levels at once. Closings by the least and by the largest lumen differ in lumens alone, and a
lumen grown by the height of its wall is a gland, however dark the stroma round it:

    map = (closed_max + dilate(closed_max - closed_min, wall)) / 2

Classes do not differ in it: it says where glands are and not of which class they are.
"""

import math
from collections.abc import Iterator

import cv2
import numpy as np
from skimage.morphology import area_closing

from workflow.lib.tiles.stores import Tiles

BLOCK_PX = 2048  # side of what is mapped at a time: with margins of 300 um at 0.25 um per pixel it
# takes some 300 MB, whatever the slide

Band = tuple[int, np.ndarray]  # first row, the map (h, W)


def gland_map(
    darkness: np.ndarray,
    seen: np.ndarray | None = None,
    *,
    cell_um: float,
    min_lumen_um2: float,
    max_lumen_um2: float,
    wall_um: float,
) -> np.ndarray:
    """Evidence of glands (h, w) float32 in 0..1 from darkness (h, w) in 0..1, cells of `cell_um`.

    seen: (h, w) bool, where tissue was looked at; a gap between tiles is pale, and no lumen.
    min_lumen_um2, max_lumen_um2: the areas of what counts as a lumen; smaller is a gap between
    nuclei, larger is glass or stroma. wall_um: how far a gland reaches beyond its lumen.
    """
    if not 0 < min_lumen_um2 < max_lumen_um2:
        raise ValueError(
            f"min_lumen_um2 is {min_lumen_um2:g} and max_lumen_um2 {max_lumen_um2:g}; "
            "they need 0 < min_lumen_um2 < max_lumen_um2"
        )
    darkness = np.ascontiguousarray(darkness, np.float32)
    least, largest = (max(1, round(area / cell_um**2)) for area in (min_lumen_um2, max_lumen_um2))
    # Cells that touch at a corner alone let nothing out: a wall is closed by 8-connected cells.
    small = area_closing(darkness, least, connectivity=1)
    closed = area_closing(small, largest, connectivity=1)
    lumens = closed - small
    if seen is not None:
        lumens[~seen] = 0
    return (closed + cv2.dilate(lumens, disc(wall_um / cell_um))) / 2


def gland_bands(
    store: Tiles, *, cell_px: int, blur_um: float, max_lumen_um2: float, **lumens: float
) -> Iterator[Band]:
    """The gland map of a slide in cells of `cell_px` store px, in bands of `block_cells` rows.

    The darkness of red is blurred by a Gaussian of `blur_um` and averaged over cells. What no tile
    covers, and tiles that could not be read, are white. Bands are mapped in blocks that overlap, so
    that lumens up to a length of twice the side of the largest one come out as in one piece.
    """
    cell_um, side = store.attrs["mpp"] * cell_px, block_cells(cell_px)
    reach_um = lumens["wall_um"] + 4 * blur_um + 2 * math.sqrt(max_lumen_um2)
    margin = math.ceil(reach_um / cell_um)
    rows, cols = shape = map_shape(store, cell_px)
    for row in range(0, rows, side):
        band = np.zeros((min(side, rows - row), cols), np.float32)
        for col in range(0, cols, side):
            first = [max(0, at - margin) for at in (row, col)]
            last = [min(n, at + side + margin) for at, n in zip((row, col), shape, strict=True)]
            sides = [(end - start) * cell_px for start, end in zip(first, last, strict=True)]
            red, seen = read_red(store, [at * cell_px for at in first], sides)
            if not seen.any():
                continue
            found = gland_map(
                darken(red, cell_px=cell_px, blur_px=blur_um / store.attrs["mpp"]),
                seen.reshape(len(seen) // cell_px, cell_px, -1, cell_px).any(axis=(1, 3)),
                cell_um=cell_um,
                max_lumen_um2=max_lumen_um2,
                **lumens,
            )[row - first[0] :, col - first[1] :]
            band[:, col : col + side] = found[: len(band), :side]
        yield row, band


def block_cells(cell_px: int) -> int:
    """Side of a block in cells."""
    return max(1, BLOCK_PX // cell_px)


def map_shape(store: Tiles, cell_px: int) -> tuple[int, int]:
    """(H, W) of the map that covers a slide."""
    return tuple(-(-store.attrs[side] // cell_px) for side in ("height_px", "width_px"))


def read_red(
    store: Tiles, corner_px: list[int], shape_px: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """The red of a slide (h, w) uint8 from its tiles, white without one, and where there is one.

    corner_px: (y, x) of the region in store px.
    """
    canvas, seen = np.full(shape_px, 255, np.uint8), np.zeros(shape_px, bool)
    side, corner = store.attrs["tile_px"], np.asarray(corner_px)
    places = store.positions_px - corner
    near = ((places > -side) & (places < np.asarray(shape_px))).all(axis=1) & ~store.bad
    for index in np.flatnonzero(near):
        tile, there, here = store.pixels(index)[..., 0], [], []
        for start, length in zip(places[index], shape_px, strict=True):
            there.append(slice(max(0, start), min(length, start + side)))
            here.append(slice(max(0, -start), min(side, length - start)))
        canvas[tuple(there)] = tile[tuple(here)]
        seen[tuple(there)] = True
    return canvas, seen


def darken(red: np.ndarray, *, cell_px: int, blur_px: float) -> np.ndarray:
    """Darkness (h, w) float32 in 0..1 in cells of red (h * cell_px, w * cell_px) uint8."""
    dark = 1 - red.astype(np.float32) / 255
    dark = cv2.GaussianBlur(dark, (0, 0), blur_px) if blur_px > 0 else dark
    return dark.reshape(len(dark) // cell_px, cell_px, -1, cell_px).mean(axis=(1, 3))


def disc(radius: float) -> np.ndarray:
    """Cells within `radius` of the middle one, (2 r + 1, 2 r + 1) uint8."""
    reach = int(radius)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return (y * y + x * x <= radius**2).astype(np.uint8)
