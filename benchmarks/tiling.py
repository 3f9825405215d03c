"""Tiles of a slide: this project's reader, its limit, and what one would otherwise reach for.

    python benchmarks/tiling.py slide.svs
    python benchmarks/tiling.py slide.svs --as jpeg2000-rgb

At the mpp of the slide, 2 times and 1.5 times coarser. The limit decodes the stored tiles that the
pixels lie in, once each, from memory, and resamples nothing: libjpeg-turbo into one buffer,
OpenJPEG without making colours of what it gives. All readers get the same tiles; they take turns in
every round and start with empty caches. At the mpp of a slide of JPEG tiles these are also copied
into the shards of a store: as they are, and each decoded once to know that it is whole, as
tile_slide does it. With --as the first level of the slide is written anew with JPEG 2000 tiles.
"""

import argparse
import functools
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import simplejpeg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.jpeg2000_slides import RGB, YCBCR, rewrite
from benchmarks.slide_readers import WAYS, Tiles, find_ways
from benchmarks.tables import print_table
from workflow.lib.slides.jpeg_tiles import JpegTiles
from workflow.lib.slides.slides import SlideReader, open_reader
from workflow.lib.slides.stored_tiles import StoredTiles
from workflow.lib.slides.tiled_tiffs import TiledTiffFile, read_directly
from workflow.lib.tiles.shards import Shards, write_jpegs
from workflow.lib.tiles.stores import create_tiles
from workflow.lib.tiles.tile_pixels import (
    choose_level,
    copy_tiles,
    downsample,
    read_tiles,
    why_not_copied,
)
from workflow.lib.tiles.tiling import TileSpec, grid

LIMIT, OURS, USUAL = "limit", "this project", "openslide"
HALF = "this project, half_db"  # with tile_slide.half_db low enough for every slide
COPIED, CHECKED = "copied into a store", "copied, and decoded to check"
KINDS = {"jpeg2000-rgb": RGB, "jpeg2000-ycbcr": YCBCR}
HEAD = ("times coarser", "name", "tiles/CPU s", "lowest to highest", "of the limit")
HEAD += ("times openslide", "tiles/wall s", "lowest to highest", "of the limit", "times openslide")
HEAD += ("ms to open", "max difference", "PSNR dB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("slide", type=Path)
    parser.add_argument("--as", dest="kind", choices=KINDS, help="what to write its pixels as")
    parser.add_argument("--coarser", type=float, nargs="+", default=[1.0, 2.0, 1.5])
    parser.add_argument("--tiles", type=int, default=100, help="of a round, at most")
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    if min(given.coarser) < 1:
        parser.error(f"--coarser {min(given.coarser):g} is below 1")
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="tiling-") as folder:
        slide = (
            rewrite(given.slide, Path(folder), compression=KINDS[given.kind])
            if given.kind
            else given.slide
        )
        with open_reader(slide, mpp=1.0, through=read_directly) as reader:
            if not isinstance(reader._file, TiledTiffFile):
                parser.error(f"{slide.name} has no levels of stored tiles to decode directly")
            table = [HEAD]
            for coarser in given.coarser:
                table += compare(slide, reader, coarser, given.tiles, given.rounds)
    print_table(table, texts=(1,))
    absent = sorted(WAYS.keys() - {row[1] for row in table})
    print(f"not measured: {', '.join(absent) or 'none'}; limit: {reader.backend}")


def compare(
    slide: Path, reader: SlideReader, coarser: float, tiles: int, rounds: int
) -> list[tuple[str, ...]]:
    """The rows of the table for one factor."""
    side = reader.tile_shapes[0][1]
    spec = TileSpec(
        width_px0=reader.width_px0,
        height_px0=reader.height_px0,
        slide_mpp=1.0,
        mpp=coarser,
        tile_px=side,
        stride_px=side,
    )
    positions = inside(spec, tiles)
    if not len(positions):
        raise SystemExit(f"{slide.name} is too small for a tile {coarser:g} times coarser")
    level = choose_level(reader.levels, spec.scale)
    wanted = reader._file._levels[level]
    streams = stored(reader, spec, positions, wanted, level)
    ways = {LIMIT: lambda: decode(streams, wanted), OURS: lambda: ours(slide, spec, positions)}
    if coarser >= 2 and isinstance(wanted, JpegTiles):
        ways[HALF] = lambda: ours(slide, spec, positions, half_db=1)
    shown = {}
    if why_not_copied(reader, spec) is None:
        for name in (COPIED, CHECKED):
            ways[name] = functools.partial(copies, slide, spec, positions, checked=name == CHECKED)
            shown[name] = functools.partial(ways[name], read=True)
    ways |= find_ways(asked(slide, reader, spec, positions, level))
    made = {}  # and the file is in memory
    for name in ways.keys() - {LIMIT}:
        try:
            with shown.get(name, ways[name])() as found:
                made[name] = list(found)
        except Exception as error:  # other libraries refuse some tiles, or formats
            if name not in WAYS.keys() - {USUAL}:
                raise
            print(f"{name} is left out at {coarser:g}: {error!r}", file=sys.stderr)
            del ways[name]
    apart = {name: difference(found, made[USUAL]) for name, found in made.items()}
    made.clear()
    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(clock(way()))
    medians = {
        name: [statistics.median(column) for column in zip(*found, strict=True)]
        for name, found in times.items()
    }
    rows = []
    for name, found in times.items():
        row = [f"{coarser:g}", name]
        for clock_of in (0, 1):  # CPU and wall seconds
            median = medians[name][clock_of]
            rates = sorted(len(positions) / seconds[clock_of] for seconds in found)
            row += [f"{len(positions) / median:,.0f}", f"{rates[0]:,.0f} to {rates[-1]:,.0f}"]
            row += [f"{medians[each][clock_of] / median:.2f}" for each in (LIMIT, USUAL)]
        opening = () if name == LIMIT else (f"{1000 * medians[name][2]:.1f}", *apart[name])
        rows.append((*row, *(opening or ("", "", ""))))
    return rows


def asked(
    slide: Path, reader: SlideReader, spec: TileSpec, positions: np.ndarray, level: int
) -> Tiles:
    """The tiles as other libraries are asked for them."""
    step = reader.levels[level].downsample
    corners = np.rint(positions[:, ::-1] * spec.scale).astype(int).tolist()
    side = round(spec.tile_px * spec.scale / step)
    return Tiles(slide, level, step, spec.tile_px, side, tuple((x, y) for x, y in corners))


def inside(spec: TileSpec, tiles: int) -> np.ndarray:
    """Tiles within the slide, from its middle on, without those shifted inwards to its edge.

    There are few of these on a large slide, and many on a small one.
    """
    size = (spec.height_px0 // spec.scale, spec.width_px0 // spec.scale)
    found = grid(spec)
    found = found[(found + spec.tile_px <= size).all(axis=1)]
    found = found[(found % spec.stride_px == 0).all(axis=1)]
    first = max(len(found) - tiles, 0) // 2
    return found[first : first + tiles]


def stored(
    reader: SlideReader, spec: TileSpec, positions: np.ndarray, tiles: StoredTiles, level: int
) -> list[bytes]:
    """The stored tiles that the pixels of the wanted ones lie in, each once."""
    factor = spec.scale / downsample(reader.levels, level)
    needed = set()
    for corner in positions * factor:
        rows, columns = (
            range(int(start // length), math.ceil((start + spec.tile_px * factor) / length))
            for start, length in zip(corner, tiles.tile, strict=True)
        )
        needed |= {row * tiles.columns + column for row in rows for column in columns}
    get = tiles.stream if isinstance(tiles, JpegTiles) else tiles.stored
    return [get(index) for index in sorted(needed)]


@contextmanager
def decode(streams: list[bytes], tiles: StoredTiles) -> Iterator[Iterator[np.ndarray]]:
    tile = np.empty((*tiles.tile, 3), np.uint8)
    if isinstance(tiles, JpegTiles):
        yield (simplejpeg.decode_jpeg(stream, "RGB", buffer=tile) for stream in streams)
    else:
        yield (imagecodecs.jpeg2k_decode(stream, numthreads=1, out=tile) for stream in streams)


@contextmanager
def ours(
    slide: Path, spec: TileSpec, positions: np.ndarray, half_db: float = 0
) -> Iterator[Iterator[np.ndarray]]:
    through = functools.partial(read_directly, half_db=half_db)
    with open_reader(slide, mpp=1.0, through=through) as reader:
        yield read_tiles(reader, spec, positions)


@contextmanager
def copies(
    slide: Path, spec: TileSpec, positions: np.ndarray, *, checked: bool, read: bool = False
) -> Iterator[Iterator[np.ndarray]]:
    """The shards of a store that is there are written again, or with `read` are read."""
    with (
        open_reader(slide, mpp=1.0, through=read_directly) as reader,
        tempfile.TemporaryDirectory(prefix="tiling-") as folder,
    ):
        path, side, tiles = Path(folder, "tiles.zarr"), spec.tile_px, reader._file._levels[0]
        indices = (positions // side @ (tiles.columns, 1)).tolist()

        def jpegs() -> Iterator[bytes]:
            if checked:
                return (jpeg for _, jpeg in copy_tiles(reader, spec, positions))
            return map(tiles.stream, indices)

        def write() -> Iterator[np.ndarray]:
            write_jpegs(path / "pixels", jpegs())
            yield from ()

        about = {"count": len(indices), "tile_px": side, "codec": "copy", "quality": 90}
        create_tiles(path, jpegs(), **about)
        yield iter(Shards(path / "pixels")[:]) if read else write()


def difference(tiles: list[np.ndarray], judged: list[np.ndarray]) -> tuple[str, str]:
    """The largest difference of any number from OpenSlide's, and the PSNR of all."""
    found, wanted = (np.stack(each).reshape(len(each), -1) for each in (tiles, judged))
    psnr = "" if np.array_equal(found, wanted) else f"{cv2.PSNR(found, wanted):.1f}"
    return str(cv2.absdiff(found, wanted).max()), psnr


def clock(way: AbstractContextManager[Iterator[np.ndarray]]) -> tuple[float, float, float]:
    """CPU seconds and wall seconds of the tiles, and CPU seconds of opening the file."""
    before = time.process_time()
    with way as tiles:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in tiles:
            pass
        return time.process_time() - cpu, time.perf_counter() - wall, cpu - before


if __name__ == "__main__":
    main()
