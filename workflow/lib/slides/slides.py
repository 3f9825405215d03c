"""Read a slide, whatever its file format: regions as RGB, a thumbnail, its pixel size.

The one place where (x, y) libraries are spoken to; everything here is (y, x). Only mpp, sizes,
vendor and levels leave a reader: no names, dates, label or macro images.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from operator import index
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from workflow.lib.jobs.verdicts import BadPixels, Quarantine
from workflow.lib.slides.formats import SlideFile, check_size, open_file
from workflow.lib.slides.images import YX
from workflow.lib.slides.pixel_sizes import choose
from workflow.lib.slides.surveys import Survey, survey


@dataclass(frozen=True)
class Level:
    """One resolution of a slide. `downsample` is level-0 px per px of this level."""

    width: int
    height: int
    downsample: float


class SlideReader:
    """An open slide; use it as a context manager, in one thread.

    `bad_reads` counts the failed reads so far. `tile_shapes` are the stored (height, width) of the
    tiles of each level: reading along them is fastest and confines a damaged tile to itself.
    """

    def __init__(
        self,
        path: Path,
        file: SlideFile,
        *,
        mpp: float,
        mpp_source: str,
        max_bad_reads: int,
    ) -> None:
        self.path = path
        self.mpp = mpp
        self.mpp_source = mpp_source
        self.vendor: str = file.vendor
        self.magnification: float | None = file.magnification
        self.colours_converted: bool = file.mislabelled_ycbcr
        self.height_px0, self.width_px0 = file.sizes[0]
        self.levels = tuple(
            Level(width, height, (self.height_px0 / height + self.width_px0 / width) / 2)
            for height, width in file.sizes
        )
        self.tile_shapes: tuple[YX, ...] = file.tile_shapes
        self.bad_reads = 0
        self._file = file
        self.jpeg_levels: frozenset[int] = getattr(file, "jpeg_levels", frozenset())  # of few files
        self._half = getattr(file, "read_half", None)  # few files have one
        self._max_bad_reads = max_bad_reads
        self._stamp = stamp(path)

    def __enter__(self) -> "SlideReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    @property
    def backend(self) -> str:
        """What decoded the pixels so far."""
        return self._file.backend

    def read(self, origin_px0: YX, shape_px: YX, level: int = 0) -> np.ndarray:
        """The region as (h, w, 3) uint8 RGB: `origin_px0` (y, x) in level-0 px, shape in level px.

        Transparent and unstored pixels get the slide's background colour, pixels outside the
        slide are white. Raises BadPixels when the region cannot be decoded, Quarantine E_TILE when
        that happened too often and E_IO when the file changed or went away.
        """
        return self._read(origin_px0, shape_px, level)[0]

    def read_stored(
        self, origin_px0: YX, shape_px: YX, level: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `read`, and (h, w) bool: which pixels the file really stores."""
        rgb, stored = self._read(origin_px0, shape_px, level)
        return rgb, np.ones(rgb.shape[:2], bool) if stored is None else stored

    def _read(
        self, origin_px0: YX, shape_px: YX, level: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """As `read_stored`; None where all pixels are stored."""
        if not 0 <= level < len(self.levels):
            raise ValueError(f"{self.path.name} has no level {level}; it has {len(self.levels)}")
        # A caller's mistake must not pass for a damaged tile below.
        origin_px0 = (index(origin_px0[0]), index(origin_px0[1]))
        shape_px = (index(shape_px[0]), index(shape_px[1]))
        if min(shape_px) < 0:
            raise ValueError(f"A region of {shape_px} px cannot be read; sides are 0 or more")
        try:
            rgba = self._file.read(origin_px0, shape_px, level)  # or RGB, nothing transparent
        except Exception as error:  # a damaged tile makes decoders raise anything
            raise self._blame(error, origin_px0, level) from error
        if rgba.shape[2] == 3:
            return rgba, None
        alpha = rgba[..., 3]
        if rgba.size and rgba.view("<u4").min() >= 0xFF000000:  # alpha is 255 everywhere
            return cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), None
        backdrop = self._backdrop(origin_px0, shape_px, level)
        stored = alpha > 0
        if (stored == (alpha == 255)).all():  # nothing is half transparent, as in nearly all slides
            return np.where(stored[..., None], rgba[..., :3], backdrop.astype(np.uint8)), stored
        weight = alpha[..., None].astype(np.float32) / 255
        rgb = rgba[..., :3] * weight + backdrop * (1 - weight)
        return rgb.round().astype(np.uint8), stored

    def read_half(
        self, origin_half_px: YX, shape_half_px: YX, level: int = 0, *, rough: bool = False
    ) -> np.ndarray | None:
        """Means of 2 x 2 px of a level, (h, w, 3) uint8 RGB; origin and shape in these larger px.

        None where the file does not give them by itself, for whatever reason: `read` tells. With
        `rough`, only where they are cheaper than `read` for not being exact.
        """
        if not self._half:
            return None
        return self._half(origin_half_px, shape_half_px, level, rough=rough)

    def read_jpeg(self, origin_px: YX, level: int = 0) -> tuple[bytes, np.ndarray] | None:
        """The stored tile that begins at `origin_px` (in px of the level): its JPEG, its pixels.

        The JPEG is whole, and decodes to these pixels, (h, w, 3) uint8 RGB. None where no stored
        tile begins, or it is empty, damaged, or reaches over the edge: `read` tells.
        For levels in `jpeg_levels`.
        """
        return self._file.read_jpeg(origin_px, level)

    def survey(self, max_side_px: int) -> Survey:
        """A thumbnail with what it could and could not read; see `surveys.survey`."""
        return survey(self, max_side_px)

    def thumbnail(self, max_side_px: int) -> np.ndarray:
        """The slide as (h, w, 3) uint8 RGB, area-averaged, the longer side `max_side_px` at most.

        Memory does not grow with the slide. Damaged tiles stay white.
        """
        return self.survey(max_side_px).rgb

    def _backdrop(self, origin_px0: YX, shape_px: YX, level: int) -> np.ndarray:
        """Background colour inside the slide, white outside, as (h, w, 3) float32."""
        backdrop = np.full((*shape_px, 3), 255, np.float32)
        inside = []
        found = self.levels[level]
        for start, length, side in zip(
            origin_px0, shape_px, (found.height, found.width), strict=True
        ):
            first = round(start / found.downsample)
            inside.append(slice(max(-first, 0), max(min(side - first, length), 0)))
        backdrop[tuple(inside)] = self._file.background
        return backdrop

    def _blame(self, error: Exception, origin_px0: YX, level: int) -> Exception:
        """What a failed read means: for this region, or for the slide."""
        self.bad_reads += 1
        name = self.path.name
        if stamp(self.path) != self._stamp:
            return Quarantine("E_IO", f"{name}: the file changed while it was read.")
        if isinstance(error, Quarantine):
            return error
        if isinstance(error, MemoryError):
            return Quarantine("E_OOM", f"{name}: a region needs too much memory.")
        if isinstance(error, OSError) and error.errno:
            return Quarantine("E_IO", f"{name}: reading failed ({os.strerror(error.errno)}).")
        if self.bad_reads > self._max_bad_reads:
            return Quarantine("E_TILE", f"{name}: {self.bad_reads} regions cannot be decoded.")
        y, x = origin_px0
        return BadPixels(f"{name}: level {level} cannot be decoded at y = {y}, x = {x} px0.")


def open_reader(
    path: Path,
    *,
    mpp: float | None = None,
    mpp_min: float = 0.0,
    mpp_max: float = float("inf"),
    max_side_px0: int | None = None,
    allow_fluorescence: bool = True,
    max_bad_reads: int = 200,
    through: Callable[[Path, SlideFile], SlideFile] | None = None,
) -> SlideReader:
    """Open a slide. `mpp` (um per level-0 pixel, from the sheet) overrides what the file says.

    The limits are check_slide's; later stages open slides that passed it and give none. After
    `max_bad_reads` unreadable regions the slide is given up: enough for surveys, and tile_slide
    gives as many as its own limit needs. `through` gets the path and the open file and returns the
    file to read with, as `tiled_tiffs.read_directly` does; closing that one closes both.

    Raises Quarantine: E_IO, E_EMPTY, E_FORMAT, E_COMPANION, E_DIM, E_MPP, E_ZSTACK, E_MODALITY.
    """
    file = open_file(path, mpp, max_side_px0, allow_fluorescence)
    try:
        check_size(path.name, *file.sizes[0][::-1], max_side_px0)
        if file.fluorescence and not allow_fluorescence:
            raise Quarantine("E_MODALITY", f"{path.name}: the file says it is fluorescence.")
        chosen, source = choose(path.name, mpp, file.pixel_sizes, mpp_min=mpp_min, mpp_max=mpp_max)
        file = through(path, file) if through else file
        return SlideReader(path, file, mpp=chosen, mpp_source=source, max_bad_reads=max_bad_reads)
    except BaseException:
        file.close()
        raise


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Size, modification time and inode of a file: what changes when somebody replaces it."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
