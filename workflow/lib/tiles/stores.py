"""The zarr v3 stores: tiles of a slide, and arrays aligned to them row by row."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

from workflow.lib.tiles.buffers import empty_batch
from workflow.lib.tiles.codecs import JpegCodec, encode_jpeg
from workflow.lib.tiles.shards import Shards, write_jpegs

LOSSLESS = ZstdCodec(level=3, checksum=True)  # without checksum most flipped bits pass unseen
SHARD_BYTES = 64 << 20  # raw bytes a shard holds at most: what a writer keeps in memory
WHOLE = {"write_empty_chunks": True}  # so that a lost shard is not taken for one of zeros


def create_group(path: Path, attrs: dict | None = None) -> zarr.Group:
    """A new zarr v3 group with plain JSON attributes."""
    return zarr.create_group(str(path), zarr_format=3, attributes=attrs or {})


def open_group(path: Path) -> zarr.Group:
    """An existing group, read-only."""
    return zarr.open_group(str(path), mode="r", zarr_format=3)


def create_rows(
    group: zarr.Group, name: str, shape: Sequence[int], dtype: str | np.dtype
) -> zarr.Array:
    """An empty array of rows (N, ...), one row a chunk when rows are large, sharded, lossless.

    Write it in blocks of `array.shards[0]` rows and no shard is written twice.
    """
    row_bytes = max(1, int(np.prod(shape[1:], dtype=np.int64)) * np.dtype(dtype).itemsize)
    chunk = max(1, min(max(shape[0], 1), (1 << 16) // row_bytes))
    shard = chunk * max(
        1, min(256, -(-max(shape[0], 1) // chunk), SHARD_BYTES // (chunk * row_bytes))
    )
    return group.create_array(
        name,
        shape=tuple(shape),
        chunks=(chunk, *shape[1:]),
        shards=(shard, *shape[1:]),
        dtype=dtype,
        compressors=LOSSLESS,
        fill_value=0,
        config=WHOLE,
    )


def write_rows(group: zarr.Group, name: str, rows: np.ndarray) -> zarr.Array:
    """Store `rows` (N, ...) as one array of `group`; N may be 0."""
    array = create_rows(group, name, rows.shape, rows.dtype)
    if len(rows):
        array[:] = rows
    return array


def append_rows(array: zarr.Array, blocks: Iterable[np.ndarray]) -> None:
    """Fill `array` (N, ...) with consecutive `blocks`, holding one shard in memory.

    Raises ValueError when the blocks do not add up to N rows.
    """
    size = array.shards[0]
    held: list[np.ndarray] = []
    count = start = 0
    for block in blocks:
        held.append(np.asarray(block, dtype=array.dtype))
        count += len(block)
        while count >= size:
            rows = np.concatenate(held)
            array[start : start + size] = rows[:size]
            start, count, held = start + size, count - size, [rows[size:]]
    if count:
        array[start : start + count] = np.concatenate(held)
    if start + count != array.shape[0]:
        raise ValueError(f"{array.name} has {array.shape[0]} rows but was given {start + count}")


def create_tiles(
    path: Path,
    pixels: Iterable[np.ndarray | bytes],
    *,
    count: int,
    tile_px: int,
    codec: str,
    quality: int,
) -> zarr.Group:
    """A tile store at `path` holding `count` RGB tiles (tile_px, tile_px, 3) uint8, one a chunk.

    codec "lossless" is zstd with a checksum, "jpeg" is JPEG 4:4:4 at `quality` with a crc32c,
    "copy" is that too, of tiles of which some are whole JPEGs already: these are kept as they are.
    Returns the group, to which the caller adds the rows that describe the tiles.
    """
    tile = (tile_px, tile_px, 3)
    shard = max(1, min(256, count, SHARD_BYTES // (tile_px * tile_px * 3)))
    group = create_group(path)
    lossy = codec in ("jpeg", "copy")
    array = group.create_array(
        "pixels",
        shape=(count, *tile),
        chunks=(1, *tile),
        shards=(shard, *tile),
        dtype="uint8",
        serializer=JpegCodec(quality=quality) if lossy else BytesCodec(endian=None),
        compressors=Crc32cCodec() if lossy else LOSSLESS,
        fill_value=0,
        dimension_names=("tile", "y", "x", "rgb"),
        config=WHOLE,
    )
    if codec == "copy":
        tiles = (t if isinstance(t, bytes) else encode_jpeg(t, quality) for t in pixels)
        write_jpegs(path / "pixels", tiles)
    else:
        append_rows(array, (tile[None] for tile in pixels))
    return group


class Tiles:
    """A tile store, read-only: pixels (N, t, t, 3) uint8 and the rows that describe them.

    origins (N, 2) int64 top-left (y, x) in level-0 px; positions_px (N, 2) int64 the same corner
    in store px; tissue and blur (N,) float32; bad (N,) bool; attrs mpp, tile_px, stride_px, scale
    (level-0 px per store px), width_px, height_px, width_px0, height_px0.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attrs = dict(open_group(path).attrs)
        self._pixels = Shards(path / "pixels")
        rows = ("origins", "positions_px", "tissue", "blur", "bad")
        self.origins, self.positions_px, self.tissue, self.blur, bad = (
            Shards(path / name)[:] for name in rows
        )
        self.bad = bad.astype(bool)

    def __len__(self) -> int:
        return len(self._pixels)

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """(t, t, 3), of every tile."""
        return self._pixels.shape[1:]

    def pixels(self, index: int) -> np.ndarray:
        """One tile, (t, t, 3) uint8."""
        return self._pixels[int(index)]

    def read(self, index: int, into: np.ndarray) -> None:
        """One tile into (t, t, 3) uint8, which is contiguous."""
        self._pixels.read(int(index), into)

    def batch(self, indices: Sequence[int]) -> np.ndarray:
        """Tiles in the order of `indices`, (B, t, t, 3) uint8."""
        batch = empty_batch((len(indices), *self.tile_shape))
        for index, into in zip(indices, batch, strict=True):
            self.read(index, into)
        return batch
