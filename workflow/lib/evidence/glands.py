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
from pathlib import Path

import cv2
import numpy as np
import torch
from skimage.morphology import area_closing

from workflow.lib.tiles.stores import Tiles, open_group

BLOCK_CELLS = 512  # side of what is mapped at a time; with its margin some 10 MB whatever the slide

Block = tuple[int, int, np.ndarray]  # first row and column, the map (h, w)


def gland_map(
    darkness: np.ndarray,
    *,
    cell_um: float,
    min_lumen_um2: float,
    max_lumen_um2: float,
    wall_um: float,
) -> np.ndarray:
    """Evidence of glands (h, w) float32 in 0..1 from darkness (h, w) in 0..1, cells of `cell_um`.

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
    return (closed + cv2.dilate(closed - small, disc(wall_um / cell_um))) / 2


def gland_blocks(
    store: Tiles, *, cell_px: int, blur_um: float, max_lumen_um2: float, **lumens: float
) -> Iterator[Block]:
    """The gland map of a slide in blocks of cells of `cell_px` store px, row by row.

    The darkness of red is blurred by a Gaussian of `blur_um` and averaged over cells. What no tile
    covers, and tiles that could not be read, are white. Blocks overlap while they are mapped, so
    that lumens up to a length of twice the side of the largest one come out as in one piece.
    """
    cell_um = store.attrs["mpp"] * cell_px
    reach_um = lumens["wall_um"] + 4 * blur_um + 2 * math.sqrt(max_lumen_um2)
    margin = math.ceil(reach_um / cell_um)
    rows, cols = shape = map_shape(store, cell_px)
    for row in range(0, rows, BLOCK_CELLS):
        for col in range(0, cols, BLOCK_CELLS):
            first = [max(0, at - margin) for at in (row, col)]
            last = [
                min(side, at + BLOCK_CELLS + margin)
                for at, side in zip((row, col), shape, strict=True)
            ]
            sides = [(end - start) * cell_px for start, end in zip(first, last, strict=True)]
            red = read_red(store, [at * cell_px for at in first], sides)
            found = gland_map(
                darken(red, cell_px=cell_px, blur_px=blur_um / store.attrs["mpp"]),
                cell_um=cell_um,
                max_lumen_um2=max_lumen_um2,
                **lumens,
            )
            yield row, col, found[row - first[0] :, col - first[1] :][:BLOCK_CELLS, :BLOCK_CELLS]


def map_shape(store: Tiles, cell_px: int) -> tuple[int, int]:
    """(H, W) of the map that covers a slide."""
    return tuple(-(-store.attrs[side] // cell_px) for side in ("height_px", "width_px"))


def read_red(store: Tiles, corner_px: list[int], shape_px: list[int]) -> np.ndarray:
    """The red of a slide (h, w) uint8 from its tiles, white where there is none.

    corner_px: (y, x) of the region in store px.
    """
    canvas = np.full(shape_px, 255, np.uint8)
    side, corner = store.attrs["tile_px"], np.asarray(corner_px)
    places = store.positions_px - corner
    near = ((places > -side) & (places < np.asarray(shape_px))).all(axis=1) & ~store.bad
    for index in np.flatnonzero(near):
        tile, there, here = store.pixels(index)[..., 0], [], []
        for start, length in zip(places[index], shape_px, strict=True):
            there.append(slice(max(0, start), min(length, start + side)))
            here.append(slice(max(0, -start), min(side, length - start)))
        canvas[tuple(there)] = tile[tuple(here)]
    return canvas


def darken(red: np.ndarray, *, cell_px: int, blur_px: float) -> np.ndarray:
    """Darkness (h, w) float32 in 0..1 in cells of red (h * cell_px, w * cell_px) uint8."""
    dark = 1 - red.astype(np.float32) / 255
    dark = cv2.GaussianBlur(dark, (0, 0), blur_px) if blur_px > 0 else dark
    return dark.reshape(len(dark) // cell_px, cell_px, -1, cell_px).mean(axis=(1, 3))


class GlandTiles:
    """The gland map in the unit of map_glands, cut into the tiles of its slide.

    shape: (h, w) in cells of a tile. A call with `rows` gives their maps (B, h, w) float32 in 0..1.
    """

    def __init__(self, unit: Path, store: Tiles) -> None:
        group = open_group(unit / "glands.zarr")
        self.cells, self.cell_px = group["glands"], group.attrs["cell_px"]
        self.shape = (store.attrs["tile_px"] // self.cell_px,) * 2
        self.positions_px = store.positions_px

    def __call__(self, rows: slice) -> torch.Tensor:
        tiles = [self._cut(*position) for position in self.positions_px[rows].tolist()]
        return torch.from_numpy(np.stack(tiles))

    def _cut(self, top_px: int, left_px: int) -> np.ndarray:
        """Between the cells of the map where the corner of the tile is no multiple of theirs."""
        (y, below), (x, beside) = (divmod(at, self.cell_px) for at in (top_px, left_px))
        side = self.shape[0] + 1
        found = self.cells[y : y + side, x : x + side].astype(np.float32)
        found = np.pad(found, [(0, side - length) for length in found.shape], mode="edge")
        below, beside = below / self.cell_px, beside / self.cell_px
        found = (1 - below) * found[:-1] + below * found[1:]
        return (1 - beside) * found[:, :-1] + beside * found[:, 1:]


def disc(radius: float) -> np.ndarray:
    """Cells within `radius` of the middle one, (2 r + 1, 2 r + 1) uint8."""
    reach = int(radius)
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    return (y * y + x * x <= radius**2).astype(np.uint8)
