"""Other libraries that read tiles of slides, each called as its documentation tells it.

Where a library gives a region and does not resize it, OpenCV averages it by area.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

from benchmarks.tables import find_library

Read = Callable[[tuple[int, int]], np.ndarray]  # (x, y) in level-0 px -> tile (t, t, 3) uint8
Opened = tuple[Read, Callable[[], object]]  # and what closes the slide


@dataclass(frozen=True)
class Tiles:
    """Tiles of `tile_px` to be read from `side_px` px of a level, 1 of which is `step` level-0 px.

    `corners` are (x, y) in level-0 px, whole ones, as all these libraries take them.
    """

    slide: Path
    level: int
    step: float
    tile_px: int
    side_px: int
    corners: tuple[tuple[int, int], ...]

    @property
    def sides(self) -> tuple[int, int]:
        return self.side_px, self.side_px

    @property
    def shape(self) -> tuple[int, int]:
        return self.tile_px, self.tile_px


def find_ways(
    tiles: Tiles,
) -> dict[str, Callable[[], AbstractContextManager[Iterator[np.ndarray]]]]:
    """Of each library that is installed, what opens the slide and gives the tiles in order."""
    return {
        name: functools.partial(_way, opened, library, tiles)
        for name, (module, opened) in WAYS.items()
        if (library := _find(module))
    }


@functools.cache
def _find(module: str) -> ModuleType | None:
    return find_library(module)


@contextmanager
def _way(opened: Callable, library: ModuleType, tiles: Tiles) -> Iterator[Iterator[np.ndarray]]:
    read, close = opened(library, tiles)
    try:
        yield map(read, tiles.corners)
    finally:
        close()


def averaged(region: np.ndarray, tiles: Tiles) -> np.ndarray:
    """A region (h, w, 3 or 4) as a tile (t, t, 3), without its alpha, averaged by area."""
    if region.shape[2] == 4:
        region = cv2.cvtColor(region, cv2.COLOR_RGBA2RGB)
    if tiles.side_px == tiles.tile_px:
        return region
    return cv2.resize(region, tiles.shape, interpolation=cv2.INTER_AREA)


def open_openslide(library: ModuleType, tiles: Tiles) -> Opened:
    return _like_openslide(library.OpenSlide(tiles.slide), tiles)


def open_tiffslide(library: ModuleType, tiles: Tiles) -> Opened:
    return _like_openslide(library.TiffSlide(tiles.slide), tiles)


def _like_openslide(file: object, tiles: Tiles) -> Opened:
    def read(corner: tuple[int, int]) -> np.ndarray:
        return averaged(np.asarray(file.read_region(corner, tiles.level, tiles.sides)), tiles)

    return read, file.close


def open_with_pillow(library: ModuleType, tiles: Tiles) -> Opened:
    """The loop of many pipelines, as of TRIDENT: an image of Pillow, converted and resized."""
    file = library.OpenSlide(tiles.slide)

    def read(corner: tuple[int, int]) -> np.ndarray:
        image = file.read_region(corner, tiles.level, tiles.sides).convert("RGB")
        return np.asarray(image if image.size == tiles.shape else image.resize(tiles.shape))

    return read, file.close


def open_cucim(library: ModuleType, tiles: Tiles) -> Opened:
    file = library.CuImage(str(tiles.slide))

    def read(corner: tuple[int, int]) -> np.ndarray:
        region = file.read_region(corner, tiles.sides, tiles.level)  # on the CPU
        return averaged(np.asarray(region), tiles)

    return read, file.close


def open_fastslide(library: ModuleType, tiles: Tiles) -> Opened:
    file = library.FastSlide.from_file_path(tiles.slide, cache=128 << 20)  # as much as ours

    def read(corner: tuple[int, int]) -> np.ndarray:
        place = tuple(round(start / tiles.step) for start in corner)  # in px of the level
        return averaged(file.read_region(place, tiles.level, tiles.sides).numpy(), tiles)

    return read, file.close


def open_histolab(library: ModuleType, tiles: Tiles) -> Opened:
    """Its tile of a level, resized by Pillow: without a further library it reads at no mpp."""
    file = library.Slide(str(tiles.slide), processed_path="")
    reach = round(tiles.side_px * tiles.step)

    def read(corner: tuple[int, int]) -> np.ndarray:
        x, y = corner
        corners = library.CoordinatePair(x, y, x + reach, y + reach)
        tile = file.extract_tile(corners, tiles.sides, tiles.level)
        image = tile.image.convert("RGB")
        return np.asarray(image if image.size == tiles.shape else image.resize(tiles.shape))

    return read, lambda: None


def open_tiatoolbox(library: ModuleType, tiles: Tiles) -> Opened:
    file = library.WSIReader.open(tiles.slide)
    share = tiles.tile_px / (tiles.side_px * tiles.step)

    def read(corner: tuple[int, int]) -> np.ndarray:
        return file.read_rect(corner, tiles.shape, resolution=share, units="baseline")

    return read, lambda: None


def open_wsidata(library: ModuleType, tiles: Tiles) -> Opened:
    """What LazySlide reads with, by OpenSlide, the reader that comes with it."""
    file = library.open_wsi(tiles.slide, reader="openslide").reader

    def read(corner: tuple[int, int]) -> np.ndarray:
        region = file.get_region(*corner, *tiles.sides, level=tiles.level)
        same = tiles.sides == tiles.shape
        return region if same else file.resize_img(region, tiles.shape)

    return read, file.detach_reader


# Name in the table: the module that it needs, and what opens a slide with it.
WAYS = {
    "openslide": ("openslide", open_openslide),
    "openslide, pillow": ("openslide", open_with_pillow),
    "tiffslide": ("tiffslide", open_tiffslide),
    "cucim": ("cucim", open_cucim),
    "fastslide": ("fastslide", open_fastslide),
    "histolab": ("histolab.slide", open_histolab),
    "tiatoolbox": ("tiatoolbox.wsicore.wsireader", open_tiatoolbox),
    "wsidata (LazySlide)": ("wsidata", open_wsidata),
}
