"""Rows of a store straight from its shards: the index says where a row lies, one read fetches it.

The layout is public (zarr v3, sharding_indexed). A shard is a file of chunks, with an index behind
them: where each begins and how long it is, little-endian u64, and a crc32c of that.
"""

import functools
import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path

import google_crc32c
import imagecodecs
import numpy as np
import simplejpeg

EMPTY = 2**64 - 1  # where a chunk begins that holds nothing but the fill value, and is not written
CRC_BYTES = 4
OPEN_FILES = 128  # at a time, of all stores; the usual limit of a process is 1024


class Shards:
    """The rows of an array (N, ...), read-only, as `create_tiles` and `create_rows` lay it out.

    path: folder of the array. shape, dtype: of the array. Several threads may read at a time, and
    so may forked or spawned processes: nothing that is open is part of it. Rows are those that zarr
    gives, but a lost shard is an error, and not a shard of zeros: `create_tiles` and `create_rows`
    write every shard.
    Raises ValueError when the layout is another; reading raises it, naming path and row, where
    bytes are missing or not those that were written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        about = (self.path / "zarr.json").read_text()
        try:
            self._take(json.loads(about))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{self.path} is not laid out as the stages write their stores ({error}): make it"
                " again, or read it with zarr"
            ) from error

    def _take(self, about: dict) -> None:
        """Note the layout; KeyError, TypeError or ValueError where it is another."""
        self.shape, self.dtype = tuple(about["shape"]), np.dtype(about["data_type"])
        sharding, *more = about["codecs"]
        shard, *sides = about["chunk_grid"]["configuration"]["chunk_shape"]
        if more or sharding["name"] != "sharding_indexed":
            raise ValueError("no shards")
        inner = sharding["configuration"]
        self._rows, *within = inner["chunk_shape"]  # of a chunk
        self._chunks, rest = divmod(shard, self._rows)  # of a shard
        codecs = [codec["name"] for codec in inner["codecs"]]
        index = [codec["name"] for codec in inner["index_codecs"]]
        same = {
            "index": index == ["bytes", "crc32c"] and inner["index_location"] == "end",
            "chunks": rest == 0 and [*self.shape[1:]] == sides == within,
            "names of files": about["chunk_key_encoding"]
            == {"name": "default", "configuration": {"separator": "/"}},
            "codecs": codecs in (["bytes", "zstd"], ["microtome.jpeg", "crc32c"]),
            "order of bytes": "big" not in json.dumps(inner),
            "fill value": about["fill_value"] == 0,
        }
        if not all(same.values()):
            raise ValueError(
                f"other {', '.join(name for name, is_so in same.items() if not is_so)}"
            )
        self._decode = _decode_jpeg if codecs[0] == "microtome.jpeg" else _decode_zstd
        self._indices: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, row: int, into: np.ndarray) -> None:
        """Row `row` into an array of its shape and dtype that is contiguous."""
        if not 0 <= row < self.shape[0]:
            raise IndexError(f"{self.path} has {self.shape[0]} rows, and no row {row}")
        if self._rows == 1:
            self._read_chunk(row, into)
        else:
            into[...] = self._chunk(row // self._rows)[row % self._rows]

    def __getitem__(self, rows: int | slice) -> np.ndarray:
        """One row (...), or consecutive rows (n, ...)."""
        if not isinstance(rows, slice):
            found = np.empty(self.shape[1:], self.dtype)
            self.read(int(rows), found)
            return found
        first, last, step = rows.indices(self.shape[0])
        if step != 1:
            raise IndexError(f"rows of {self.path} are read one after the other, not by {step}")
        found = np.empty((max(0, last - first), *self.shape[1:]), self.dtype)
        start = first
        while start < last:
            number, skipped = divmod(start, self._rows)
            stop = min((number + 1) * self._rows, last)
            place = found[start - first : stop - first]
            if stop - start == self._rows:
                self._read_chunk(number, place)
            else:
                place[...] = self._chunk(number)[skipped : skipped + stop - start]
            start = stop
        return found

    def _chunk(self, number: int) -> np.ndarray:
        """The rows of a chunk; the last one is filled up to the size of the others."""
        found = np.empty((self._rows, *self.shape[1:]), self.dtype)
        self._read_chunk(number, found)
        return found

    def _read_chunk(self, number: int, into: np.ndarray) -> None:
        shard, place = divmod(number, self._chunks)
        try:
            file = _open(self, shard)
            if shard not in self._indices:
                self._indices[shard] = self._read_index(file)
            start, length = self._indices[shard][place].tolist()
            if start == EMPTY:
                into[...] = 0
            else:
                self._decode(file.read(start, length), into)
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"Row {number * self._rows} of {self.path} cannot be read ({error});"
                " `python -m workflow.tools.verify` says whether the store is damaged, and how to"
                " make it again"
            ) from error

    def file(self, shard: int) -> Path:
        """Where a shard lies, whether it is there or not."""
        return self.path.joinpath("c", str(shard), *["0"] * (len(self.shape) - 1))

    def _read_index(self, file: "_File") -> np.ndarray:
        """Where the chunks of a shard begin and how long they are, (chunks, 2) uint64."""
        size = 16 * self._chunks + CRC_BYTES
        found = file.read(max(0, file.size() - size), size)
        return np.frombuffer(_checked(found), "<u8").reshape(-1, 2)


def write_jpegs(path: Path, tiles: Iterable[bytes]) -> None:
    """Fill the array (N, h, w, 3) at `path` with N whole JPEGs as they are.

    Zarr takes pixels alone. Codecs are microtome.jpeg and crc32c. One shard is held in memory.
    Raises ValueError when there are not N.
    """
    array, tiles, count = Shards(path), iter(tiles), 0
    each = array._chunks
    while held := [_signed(tile) for tile in itertools.islice(tiles, each)]:
        ends = np.cumsum([len(chunk) for chunk in held])
        index = np.full((each, 2), EMPTY, "<u8")
        index[: len(held)] = np.stack([np.append(0, ends[:-1]), np.diff(ends, prepend=0)], axis=1)
        file = array.file(count // each)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join([*held, _signed(index.tobytes())]))
        count += len(held)
    if count != len(array):
        raise ValueError(f"{path} has {len(array)} rows but was given {count}")


class _File:
    """An open file that is closed when nobody needs it any more.

    Reading has no position, so that threads and forked processes may share it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read(self, start: int, length: int) -> bytes:
        found = os.pread(self._descriptor, length, start)
        while len(found) < length:  # a system may give less than asked for at a time
            more = os.pread(self._descriptor, length - len(found), start + len(found))
            if not more:
                raise ValueError(f"its shard ends after {len(found)} of {length} bytes")
            found += more
        return found


@functools.lru_cache(OPEN_FILES)
def _open(shards: Shards, number: int) -> _File:
    """The open file of a shard. Whoever opens a store has files of its own: stores are replaced."""
    return _File(os.open(shards.file(number), os.O_RDONLY))


def _checked(data: bytes) -> bytes:
    """`data` without the crc32c behind it; ValueError when it is not that of the data."""
    content = data[:-CRC_BYTES]
    if google_crc32c.value(content) != int.from_bytes(data[-CRC_BYTES:], "little"):
        raise ValueError("its checksum is another")
    return content


def _signed(content: bytes) -> bytes:
    """`content` with its crc32c behind it."""
    return content + google_crc32c.value(content).to_bytes(CRC_BYTES, "little")


def _decode_jpeg(data: bytes, into: np.ndarray) -> None:
    tile = into.reshape(into.shape[-3:])
    if simplejpeg.decode_jpeg(_checked(data), "RGB", buffer=tile).shape != tile.shape:
        raise ValueError("it has another size")


def _decode_zstd(data: bytes, into: np.ndarray) -> None:
    flat = into.reshape(-1).view(np.uint8)
    if len(imagecodecs.zstd_decode(data, out=flat)) != len(flat):
        raise ValueError("it has another size")
