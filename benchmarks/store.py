"""Reads of a tile store beside the bare decoding of its bytes, and beside other libraries.

    python benchmarks/store.py --tiles 256 --tile-px 256 --rounds 5

Tiles are drawn into a store of each codec in a temporary folder. All ways take turns, each reads
every tile once a turn, from the page cache: the median of the turns, and their lowest and highest.
`value` is of CPU seconds, `wall` of seconds. A ratio is that to the limit in the same turn, with
as many workers: the same decoder, on bytes that are in memory already, into one buffer. `reading
and decoding` fetches them from their file first. h5py, with tiles that are not compressed, one a
chunk, and tensorstore take part where they are installed.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import imagecodecs
import numpy as np
import simplejpeg
import zarr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.drawn_stores import draw_store
from benchmarks.tables import find_library, print_table
from workflow.lib.tiles.stores import Tiles

HEAD = ("name", "value", "from-to", "unit", "ratio", "from-to", "wall", "ratio")
TEXTS = (0, 3)  # columns; the others are numbers
LIMIT, OURS = "decoding in memory", "ours"
CODECS = ("lossless", "jpeg")
Work = Callable[[np.ndarray], object]  # reads a batch of rows
WORKS: dict[str, Work] = {}  # of the codec in turn: forked workers find them here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tiles", type=int, default=256)
    parser.add_argument("--tile-px", type=int, default=256)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5, help="turns of every way")
    parser.add_argument("--codecs", nargs="+", choices=CODECS, default=CODECS)
    given = parser.parse_args()
    table = [HEAD]
    for codec in given.codecs:
        with tempfile.TemporaryDirectory(prefix="store-") as folder:
            table += compare(Path(folder), codec, given)
    print_table(table, texts=TEXTS)


def compare(folder: Path, codec: str, given: argparse.Namespace) -> list[tuple[str, ...]]:
    """The rows of the table for one codec."""
    path, rng = folder / "tiles.zarr", np.random.default_rng(0)
    draw_store(path, rng, tile_px=given.tile_px, count=given.tiles, codec=codec)
    WORKS.clear()
    WORKS.update(make_works(folder, Tiles(path), codec, given.batch))
    rows = np.arange(given.tiles)
    orders = {"sequential": rows, "random": rng.permutation(rows)}
    taken: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    forked = {"max_workers": 2, "mp_context": get_context("fork")}
    with ProcessPoolExecutor(**forked) as processes, ThreadPoolExecutor(2) as threads:
        pools = {", 2 processes": processes, ", 2 threads": threads}
        for pool in pools.values():
            read(LIMIT, rows, given.batch, pool)  # it starts when it is first used
        for _ in range(given.rounds):
            for order, asked in orders.items():
                for name in WORKS:
                    taken[order, name, ""].append(read(name, asked, given.batch, None))
            for workers, pool in pools.items():
                for name in (LIMIT, OURS):
                    rates = read(name, orders["random"], given.batch, pool)
                    taken["random", name, workers].append(rates)
    table = []
    for (order, name, workers), rates in taken.items():
        cpu, wall = np.transpose(rates)
        of_cpu, of_wall = np.divide(rates, taken[order, LIMIT, workers]).T
        title = f"{codec}, {order}: {name}{workers}"
        shown = (*spread(cpu, ",.0f"), "tiles/s", *spread(of_cpu, ".2f"))
        table.append((title, *shown, spread(wall, ",.0f")[0], spread(of_wall, ".2f")[0]))
    files = [file for file in path.rglob("*") if file.is_file()]
    size, raw = sum(file.stat().st_size for file in files), given.tiles * given.tile_px**2 * 3
    name = f"{codec}: a slide of {given.tiles} tiles"
    table.append((name, f"{size:,}", "", "bytes", f"{size / raw:.2f}", "of its pixels", "", ""))
    return [*table, (name, f"{len(files)}", "", "files", "", "", "", "")]


def make_works(folder: Path, store: Tiles, codec: str, batch: int) -> dict[str, Work]:
    """Name -> what reads a batch of rows; the limit first."""
    path = store.path / "pixels"
    plain, places = zarr.open_array(str(path), mode="r"), find_chunks(path, len(store))
    encoded = [os.pread(*place) for place in places]
    shape, held = (batch, *store.tile_shape), threading.local()  # threads do not share a buffer

    def decode(rows: np.ndarray, give: Callable[[int], bytes]) -> np.ndarray:
        if not hasattr(held, "buffer"):
            held.buffer = np.empty(shape, np.uint8)
        for row, into in zip(rows, held.buffer, strict=False):
            if codec == "jpeg":
                simplejpeg.decode_jpeg(give(row)[:-4], "RGB", buffer=into)
            else:
                imagecodecs.zstd_decode(give(row), out=into.reshape(-1))
        return held.buffer[: len(rows)]

    works: dict[str, Work] = {
        LIMIT: lambda rows: decode(rows, encoded.__getitem__),
        OURS: store.batch,
        "reading and decoding": lambda rows: decode(rows, lambda row: os.pread(*places[row])),
        "zarr": plainly(plain),
    }
    if h5py := find_library("h5py"):
        with h5py.File(folder / "tiles.h5", "w") as file:
            file.create_dataset("pixels", data=plain[:], chunks=(1, *store.tile_shape))
        works["h5py, not compressed"] = plainly(h5py.File(folder / "tiles.h5", "r")["pixels"])
    if codec == "lossless" and (tensorstore := find_library("tensorstore")):
        about = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
        opened = tensorstore.open(about, read=True).result()
        works["tensorstore"] = lambda rows: opened[rows].read().result()
    return works


def plainly(array: zarr.Array) -> Work:
    """As one would read from such an array: rows in order by a slice, others one by one."""

    def work(rows: np.ndarray) -> object:
        if (np.diff(rows) == 1).all():
            return array[rows[0] : rows[-1] + 1]
        return np.stack([array[int(row)] for row in rows])

    return work


def find_chunks(path: Path, count: int) -> list[tuple[int, int, int]]:
    """Open file, length and beginning of every tile, found without the code that is measured."""
    shards = sorted((path / "c").iterdir(), key=lambda folder: int(folder.name))
    each, places = zarr.open_array(str(path), mode="r").shards[0], []
    for shard in shards:
        file = shard / "0" / "0" / "0"
        index = np.frombuffer(file.read_bytes()[-16 * each - 4 : -4], "<u8").reshape(-1, 2)
        opened = os.open(file, os.O_RDONLY)
        places += [(opened, length, start) for start, length in index.astype(int).tolist()]
    return places[:count]


def read(name: str, rows: np.ndarray, batch: int, pool: Executor | None) -> tuple[float, float]:
    """Tiles a CPU second and tiles a second, of all rows, batch by batch."""
    batches = np.split(rows, range(batch, len(rows), batch))
    begun, spent = time.perf_counter(), time.process_time()
    each = (pool.map if pool else map)(work, [name] * len(batches), batches)
    inside = sum(each)
    cpu, wall = time.process_time() - spent, time.perf_counter() - begun
    if isinstance(pool, ProcessPoolExecutor):
        cpu = inside
    return len(rows) / cpu, len(rows) / wall


def work(name: str, rows: np.ndarray) -> float:
    """Read them; the CPU seconds of this process."""
    begun = time.process_time()
    WORKS[name](rows)
    return time.process_time() - begun


def spread(numbers: np.ndarray, form: str) -> tuple[str, str]:
    """Median, and the lowest and highest."""
    ends = f"{min(numbers):{form}}-{max(numbers):{form}}"
    return f"{statistics.median(numbers):{form}}", ends


if __name__ == "__main__":
    main()
