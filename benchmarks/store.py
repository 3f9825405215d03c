"""Reads of a tile store beside the bare decoding of its bytes, and beside other libraries.

    python benchmarks/store.py --tiles 256 --tile-px 256 --rounds 5

Tiles are drawn into a store of each codec in a temporary folder. All ways take turns, each reads
every tile once a turn, from the page cache: medians, the lowest and the highest beside them. The
ratio is that to the limit of the same turn and number of workers: the same decoder on bytes that
are in memory already, into one buffer. h5py, with the tiles as they are, one a chunk, and
tensorstore take part where they are installed.
"""

import argparse
import importlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import imagecodecs
import numpy as np
import simplejpeg
import zarr

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.training import SLIDES, draw_tiles
from workflow.lib.tiles.stores import Tiles

HEAD = ("name", "value", "from-to", "unit", "ratio", "from-to")
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
    widths = [max(len(row[column]) for row in table) for column in range(len(HEAD))]
    for row in table:
        cells = enumerate(zip(row, widths, strict=True))
        shown = [c.ljust(w) if i in (0, 3) else c.rjust(w) for i, (c, w) in cells]
        print("  ".join(shown).rstrip())


def compare(folder: Path, codec: str, given: argparse.Namespace) -> list[tuple[str, ...]]:
    """The rows of the table for one codec."""
    store = draw_tiles(folder, given.tile_px, SLIDES * given.tiles, codec).stores[0]
    WORKS.clear()
    WORKS.update(make_works(folder, store, codec, given.batch))
    rows = np.arange(len(store))
    orders = {"sequential": rows, "random": np.random.default_rng(0).permutation(rows)}
    taken: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    forked = {"max_workers": 2, "mp_context": get_context("fork")}
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(**forked) as processes:
        pools = {", 2 threads": threads, ", 2 processes": processes}
        for pool in pools.values():
            read(LIMIT, rows, given.batch, pool)  # it starts when it is first used
        for _ in range(given.rounds):
            for order, asked in orders.items():
                for name in WORKS:
                    alone = name not in (LIMIT, OURS)
                    for workers, pool in ({"": None} | ({} if alone else pools)).items():
                        rates = read(name, asked, given.batch, pool)
                        taken.setdefault((order, name, workers), []).append(rates)
    table = []
    for (order, name, workers), rates in taken.items():
        limit = taken[order, LIMIT, workers]
        for unit, what in enumerate(("tiles/CPU s", "tiles/s")):
            own = [each[unit] for each in rates]
            shares = [a / base[unit] for a, base in zip(own, limit, strict=True)]
            title = f"{codec}, {order}: {name}{workers}"
            table.append((title, *spread(own, ",.0f"), what, *spread(shares, ".2f")))
    files = [file for file in store.path.rglob("*") if file.is_file()]
    size, raw = sum(file.stat().st_size for file in files), len(store) * given.tile_px**2 * 3
    name = f"{codec}: a slide of {len(store)} tiles"
    table.append((name, f"{size:,}", "", "bytes", f"{size / raw:.2f}", "of its pixels"))
    return [*table, (name, f"{len(files)}", "", "files", "", "")]


def make_works(folder: Path, store: Tiles, codec: str, batch: int) -> dict[str, Work]:
    """Name -> what reads a batch of rows; the limit first."""
    path = store.path / "pixels"
    encoded, plain = list(chunks(path, len(store))), zarr.open_array(str(path), mode="r")
    shape, held = (batch, *plain.shape[1:]), threading.local()  # threads do not share a buffer

    def decode(rows: np.ndarray) -> None:
        if not hasattr(held, "buffer"):
            held.buffer = np.empty(shape, np.uint8)
        for row, into in zip(rows, held.buffer, strict=False):
            if codec == "jpeg":
                simplejpeg.decode_jpeg(encoded[row][:-4], "RGB", buffer=into)
            else:
                imagecodecs.zstd_decode(encoded[row], out=into.reshape(-1))

    works: dict[str, Work] = {LIMIT: decode, OURS: store.batch}
    works["ours, one by one"] = lambda rows: [store.pixels(row) for row in rows][:0]
    works["zarr"] = lambda rows: [plain[int(row)] for row in rows][:0]
    if h5py := found("h5py"):
        with h5py.File(folder / "tiles.h5", "w") as file:
            file.create_dataset("pixels", data=plain[:], chunks=(1, *plain.shape[1:]))
        raw = h5py.File(folder / "tiles.h5", "r")["pixels"]
        works["h5py, not compressed"] = lambda rows: [raw[int(row)] for row in rows][:0]
    if codec == "lossless" and (tensorstore := found("tensorstore")):
        about = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
        opened = tensorstore.open(about, read=True).result()
        works["tensorstore"] = lambda rows: opened[rows].read().result()
    return works


def found(library: str) -> object | None:
    """The library, or None and a line that it is not installed."""
    try:
        return importlib.import_module(library)
    except ImportError:
        print(f"{library} is not installed: left out.", file=sys.stderr)
        return None


def chunks(path: Path, count: int) -> list[bytes]:
    """The encoded tiles of an array, read without the code that is measured."""
    shards = sorted((path / "c").iterdir(), key=lambda folder: int(folder.name))
    each, encoded = zarr.open_array(str(path), mode="r").shards[0], []
    for shard in shards:
        data = (shard / "0" / "0" / "0").read_bytes()
        index = np.frombuffer(data[-16 * each - 4 : -4], "<u8").reshape(-1, 2)
        kept = index[: count - len(encoded)].astype(int)
        encoded += [data[start : start + length] for start, length in kept]
    return encoded


def read(name: str, rows: np.ndarray, batch: int, pool: Executor | None) -> tuple[float, float]:
    """Tiles a CPU second and tiles a second, of all rows, batch by batch."""
    batches = np.split(rows, range(batch, len(rows), batch))
    begun, spent = time.perf_counter(), time.process_time()
    if pool is None:
        for each in batches:
            work(name, each)
    else:
        inside = sum(pool.map(work, [name] * len(batches), batches))
    cpu, wall = time.process_time() - spent, time.perf_counter() - begun
    if isinstance(pool, ProcessPoolExecutor):
        cpu = inside
    return len(rows) / cpu, len(rows) / wall


def work(name: str, rows: np.ndarray) -> float:
    """Read them; the CPU seconds of this process."""
    begun = time.process_time()
    WORKS[name](rows)
    return time.process_time() - begun


def spread(numbers: list[float], form: str) -> tuple[str, str]:
    """Median, and the lowest and highest."""
    ends = f"{min(numbers):{form}}-{max(numbers):{form}}"
    return f"{statistics.median(numbers):{form}}", ends


if __name__ == "__main__":
    main()
