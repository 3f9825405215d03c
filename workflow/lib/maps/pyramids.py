"""Heatmap pyramids: OME-Zarr 0.5 for napari and for us, OME-TIFF for QuPath.

Both are written band by band, so that memory does not depend on the height of the slide. The zarr
holds levels s0, s1, ... (c, y, x) uint16 with 65535 = probability 1, and under labels/coverage the
same levels (y, x) uint8, 1 where a tile lies: a 0 of the heatmap there is "no evidence", elsewhere
"not looked at". Every level is half the one before: a 2 x 2 mean, and for the coverage the maximum.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate, product, repeat
from pathlib import Path

import numpy as np
import tifffile
import zarr

from workflow.lib.maps.ome import coverage_attrs, image_attrs, labels_attrs, tiff_metadata
from workflow.lib.maps.stitching import Band
from workflow.lib.report.colours import hex_colour
from workflow.lib.tiles.codes import to_codes
from workflow.lib.tiles.stores import LOSSLESS, create_group

CHUNK_PX = 256  # side of a chunk, and of a tile of the TIFF
SHARD_BYTES = 32 << 20  # raw bytes of a shard at most: what the writer holds per level
COVERAGE = "labels/coverage"


def level_shapes(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """The (rows, columns) of each level, down to one that fits into one chunk.

    >>> level_shapes((1000, 300))
    [(1000, 300), (500, 150), (250, 75)]
    """
    halvings = max(0, (-(-max(shape) // CHUNK_PX) - 1).bit_length())
    return list(accumulate(repeat(None, halvings), lambda s, _: _half(s), initial=tuple(shape)))


def write_heatmap(
    path: Path,
    bands: Iterable[Band],
    shape: tuple[int, int],
    *,
    mpp: float,
    mpp0: float,
    name: str,
    channels: Mapping[str, tuple[int, int, int]],
) -> zarr.Group:
    """Write `bands` (row0, probability (C, r, W) float32 0..1, covered (r, W) bool) as OME-Zarr.

    `shape` is (H, W) in heatmap px of `mpp` um; `mpp0` is the mpp of the slide's level 0. `name`
    is the slide, `channels` the C classes that the probabilities are of, in order, and the colours
    (RGB 0..255) that they are drawn in. Of a single one, probability may be (r, W).
    Raises ValueError when the bands are not consecutive or do not fill the shape.
    """
    shapes = level_shapes(shape)
    scales = {"levels": len(shapes), "mpp": mpp, "mpp0": mpp0}
    drawn = {label: hex_colour(colour) for label, colour in channels.items()}
    described = image_attrs(**scales, name=name, channels=drawn)
    group = create_group(path, described)
    group.create_group("labels", attributes=labels_attrs(["coverage"]))
    coverage = group.create_group(COVERAGE, attributes=coverage_attrs(**scales))
    probability_rows = covered_rows = None
    for level in reversed(range(len(shapes))):
        array = _create_level(group, f"s{level}", (len(drawn), *shapes[level]), "uint16")
        probability_rows = _Rows(array, _mean, probability_rows)
        array = _create_level(coverage, f"s{level}", shapes[level], "uint8")
        covered_rows = _Rows(array, _maximum, covered_rows)
    row = 0
    for row0, probability, covered in bands:
        if row0 != row or probability.shape[-1] != shape[1]:
            raise ValueError(
                f"{name}: a band of {probability.shape} begins at row {row0}; the heatmap of "
                f"{shape} continues at row {row}."
            )
        probability_rows.add(to_codes(probability.reshape(len(drawn), *covered.shape)))
        covered_rows.add(covered.astype(np.uint8))
        row += len(covered)
    if row != shape[0]:
        raise ValueError(f"{name}: the bands end at row {row}, the heatmap has {shape[0]}.")
    probability_rows.close()
    covered_rows.close()
    return group


def count_levels(group: zarr.Group) -> int:
    """How many levels a heatmap has."""
    return len(group.attrs["ome"]["multiscales"][0]["datasets"])


def read_level(group: zarr.Group, level: int) -> tuple[np.ndarray, np.ndarray]:
    """One level whole: probability (h, w) uint16 (65535 = 1) and covered (h, w) bool."""
    return group[f"s{level}"][0], group[f"{COVERAGE}/s{level}"][:] > 0


def finest_level(group: zarr.Group, max_pixels: int) -> int:
    """The finest level with at most `max_pixels` pixels; the coarsest if none is that small."""
    sizes = [group[f"s{level}"].size for level in range(count_levels(group))]
    return next((k for k, size in enumerate(sizes) if size <= max_pixels), len(sizes) - 1)


def level_for(group: zarr.Group, side_px: int) -> int:
    """The coarsest level that still has `side_px` pixels along its longer side; 0 if none has."""
    sides = [max(group[f"s{level}"].shape) for level in range(count_levels(group))]
    return max((level for level, side in enumerate(sides) if side >= side_px), default=0)


def write_ome_tiff(path: Path, group: zarr.Group, *, quantity: str) -> None:
    """Write a heatmap as a pyramidal OME-TIFF, uint8 with 255 = probability 1.

    BigTIFF, levels in SubIFDs, tiles of 256 px, zlib; pixel size and class names as in the zarr.
    Its description names the `quantity`: probability or evidence. The same heatmap gives
    the same bytes.
    """
    metadata = tiff_metadata(dict(group.attrs), quantity=quantity)
    mpp = metadata["PhysicalSizeX"]
    levels = [group[f"s{level}"] for level in range(count_levels(group))]
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as tiff:
        for level, array in enumerate(levels):
            per_cm = 1e4 / (mpp * 2**level)
            tiff.write(
                _tiles(array),
                shape=array.shape,
                dtype=np.uint8,
                photometric="minisblack",
                tile=(CHUNK_PX, CHUNK_PX),
                compression="zlib",
                resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER",
                software=False,
                subifds=len(levels) - 1 if level == 0 else None,
                subfiletype=1 if level else 0,
                metadata=None if level else metadata,
                buffersize=1 << 24,
            )


def _tiles(array: zarr.Array) -> Iterator[np.ndarray]:
    """The tiles of one level (C, H, W) as uint8, row by row of tiles, padded with 0."""
    for channel, top in product(range(array.shape[0]), range(0, array.shape[1], CHUNK_PX)):
        rows = array[channel, top : top + CHUNK_PX]
        for left in range(0, array.shape[2], CHUNK_PX):
            part = rows[:, left : left + CHUNK_PX]
            tile = np.zeros((CHUNK_PX, CHUNK_PX), np.uint8)
            tile[: part.shape[0], : part.shape[1]] = (part.astype(np.uint32) + 128) // 257
            yield tile


class _Rows:
    """One level that is written from top to bottom, a row of shards at a time."""

    def __init__(
        self, array: zarr.Array, halve: Callable[[np.ndarray], np.ndarray], below: "_Rows | None"
    ) -> None:
        self.array, self.halve, self.below = array, halve, below
        *channels, height, width = array.shape
        self.held = np.empty((*channels, min(array.shards[-2], height), width), array.dtype)
        self.row = self.count = 0  # rows written, rows held

    def add(self, rows: np.ndarray) -> None:
        most = self.held.shape[-2]
        while rows.shape[-2]:
            part, rows = np.split(rows, [most - self.count], axis=-2)
            self.held[..., self.count : self.count + part.shape[-2], :] = part
            self.count += part.shape[-2]
            if self.count == most:
                self._write()

    def close(self) -> None:
        if self.count:
            self._write()
        if self.below:
            self.below.close()

    def _write(self) -> None:
        block = self.held[..., : self.count, :]
        self.array[..., self.row : self.row + self.count, :] = block
        self.row, self.count = self.row + self.count, 0
        if self.below:
            self.below.add(self.halve(block))


def _create_level(group: zarr.Group, name: str, shape: tuple, dtype: str) -> zarr.Array:
    """An empty level whose shards span its width: the writer goes over each once."""
    wide = -(-shape[-1] // CHUNK_PX) * CHUNK_PX
    chunk_rows = -(-shape[-2] // CHUNK_PX)
    fit = SHARD_BYTES // (CHUNK_PX * wide * np.dtype(dtype).itemsize)
    channel = (1,) * (len(shape) - 2)
    return group.create_array(
        name,
        shape=shape,
        chunks=(*channel, CHUNK_PX, CHUNK_PX),
        shards=(*channel, CHUNK_PX * max(1, min(fit, chunk_rows)), wide),
        dtype=dtype,
        compressors=LOSSLESS,
        fill_value=0,
        dimension_names=("c", "y", "x")[-len(shape) :],
        config={"write_empty_chunks": True},  # so that a lost chunk is not taken for an empty one
    )


def _half(shape: tuple[int, int]) -> tuple[int, int]:
    return -(-shape[0] // 2), -(-shape[1] // 2)


def _quarters(block: np.ndarray) -> list[np.ndarray]:
    """The four pixels under each pixel of the next level; a lone edge counts twice."""
    *channels, height, width = block.shape
    odd = [*((0, 0) for _ in channels), (0, height % 2), (0, width % 2)]
    even = np.pad(block, odd, mode="edge")
    return [even[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]


def _mean(block: np.ndarray) -> np.ndarray:
    """Mean of 2 x 2 pixels, halves rounded up, in whole numbers: exact on every machine."""
    total = sum(part.astype(np.uint32) for part in _quarters(block))
    return ((total + 2) // 4).astype(block.dtype)


def _maximum(block: np.ndarray) -> np.ndarray:
    return np.maximum.reduce(_quarters(block))
