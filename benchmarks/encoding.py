"""Features of tiles: the stage beside a bare forward pass, and that by other engines.

    python benchmarks/encoding.py --networks squeezenet1_1 resnet50 --tiles 64

Random tiles lie in a store of a temporary folder; weights are random. `stage` is extract_features
as it is, reading, computing and writing, without loading the network; `forward` is its network on
tensors in memory, eager in float32, and the others are the same with another engine. All ways of a
network take turns. Rows are tidy: a ratio is images/s over that of `forward`, by the wall clock, by
CPU seconds of the process, and by those of the thread that computes, in which reading on another
core does not count (with --threads 1, torch alone; it is the one to trust on a busy machine);
`cosine` is the least between a tile's features and those of `forward`. Engines and
bf16 that this machine has not are left out.
"""

import argparse
import importlib.util
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from workflow.lib.jobs.devices import choose_precision, prepare
from workflow.lib.networks.encoders import Encoder, build_encoder, extract
from workflow.lib.networks.forward import Forward
from workflow.lib.tiles.inference import to_input
from workflow.lib.tiles.stores import (
    Tiles,
    append_rows,
    create_group,
    create_rows,
    create_tiles,
    write_rows,
)

NETWORKS = ["squeezenet1_1", "resnet50", "vit_small_patch16_224"]
ENGINES = ["compiled", "openvino", "onnxruntime"]
LIMIT, STAGE = "forward", "stage"
CLOCKS = {"wall": time.perf_counter, "CPU": time.process_time, "own CPU": time.thread_time}
HEAD = ("network", "way", "name", "value", "unit", "of forward", "spread")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=ENGINES)
    parser.add_argument("--tiles", type=int, default=32)
    parser.add_argument("--tile-px", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="as jobs have: 1")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--codec", choices=["lossless", "jpeg"], default="jpeg")
    parser.add_argument("--checkpoint", default="random")
    parser.add_argument("--weights", type=Path, help="the folder of a checkpoint's file")
    given = parser.parse_args()
    if given.tiles % given.batch:
        parser.error("--tiles is no multiple of --batch")
    print(*HEAD, sep="\t")
    with tempfile.TemporaryDirectory(prefix="encoding-") as folder:
        store = draw_tiles(Path(folder) / "tiles.zarr", given)
        for name in given.networks:
            for row in compare(name, store, Path(folder), given):
                print(*row, sep="\t", flush=True)


def draw_tiles(path: Path, given: argparse.Namespace) -> Tiles:
    """Smooth random tiles in a store on disk."""
    rng, side = np.random.default_rng(0), given.tile_px
    cells = (side // 16 + 1, side // 16 + 1, 3)

    def draw() -> np.ndarray:
        coarse = rng.integers(60, 230, cells, dtype=np.uint8)
        smooth = coarse.repeat(16, axis=0).repeat(16, axis=1)[:side, :side]
        return smooth + rng.integers(0, 16, smooth.shape, dtype=np.uint8)

    pixels = (draw() for _ in range(given.tiles))
    group = create_tiles(
        path, pixels, count=given.tiles, tile_px=side, codec=given.codec, quality=90
    )
    for name in ("origins", "positions_px"):
        write_rows(group, name, np.zeros((given.tiles, 2), np.int64))
    for name in ("tissue", "blur", "bad"):
        write_rows(group, name, np.zeros(given.tiles, np.float32))
    return Tiles(path)


def compare(
    name: str, store: Tiles, folder: Path, given: argparse.Namespace
) -> Iterator[tuple[str, ...]]:
    """The rows of one network."""
    device = prepare(given.device, threads=given.threads)
    batches = [
        to_input(store.batch(range(start, start + given.batch)), device)
        for start in range(0, given.tiles, given.batch)
    ]
    ways: dict[str, Callable[[], torch.Tensor]] = {}

    def network() -> Encoder:
        made = build_encoder(name, checkpoint=given.checkpoint, weights=given.weights, seed=0)
        return made.to(device, memory_format=torch.channels_last)

    def forward(engine: str, precision: str) -> Forward:
        size = {"batch": given.batch, "device": device}
        return Forward(network(), engine=engine, precision=precision, **size)

    def in_memory(call: Callable) -> Callable[[], torch.Tensor]:
        return lambda: torch.cat([call(tiles).float() for tiles in batches]).cpu()

    plain = forward("eager", "fp32")
    ways[LIMIT] = in_memory(plain)
    ways[STAGE] = lambda: stage(plain, store, folder)
    formats = ["fp32", *(["bf16"] if choose_precision("bf16", device) == "bf16" else [])]
    for precision in formats:
        for engine in ("eager", *given.engines):
            label = f"{engine} {precision}"
            if label == "eager fp32" or (precision == "bf16" and engine == "onnxruntime"):
                continue
            if engine in ("openvino", "onnxruntime") and (
                device.type != "cpu" or not importlib.util.find_spec(engine)
            ):
                continue
            if engine == "onnxruntime":
                ways[label] = in_memory(onnxruntime(network(), batches[0], folder, given.threads))
            else:
                ways[label] = in_memory(forward(engine, precision))
    yield from table(name, time_ways(ways, given), given.tiles)


def stage(made: Forward, store: Tiles, folder: Path) -> torch.Tensor:
    """Features as extract_features writes them, from a store to a store."""
    with tempfile.TemporaryDirectory(dir=folder) as unit:
        rows = create_rows(
            create_group(Path(unit) / "features.zarr"),
            "features",
            (len(store), made.network.dim),
            "float32",
        )
        append_rows(rows, extract(made, store.batch, len(store)))
        return torch.from_numpy(rows[:])


def onnxruntime(made: Encoder, tiles: torch.Tensor, folder: Path, threads: int) -> Callable:
    """The peer that the stage does not use."""
    import onnxruntime as ort

    file = str(folder / "network.onnx")
    torch.onnx.export(made, (tiles.contiguous(),), file, dynamo=False, input_names=["tiles"])
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda given: torch.from_numpy(
        session.run(None, {"tiles": given.contiguous().numpy()})[0]
    )


def time_ways(ways: dict[str, Callable[[], torch.Tensor]], given: argparse.Namespace) -> dict:
    """way -> (seconds of each clock, first wall seconds, features), in turns."""
    seconds = {way: {clock: [] for clock in CLOCKS} for way in ways}
    first, found = {}, {}
    with torch.inference_mode():
        for turn in range(1 + given.rounds):
            for way, call in ways.items():
                begun = {name: clock() for name, clock in CLOCKS.items()}
                found[way] = call()  # on the processor: what was asked of a GPU is done
                took = {name: clock() - begun[name] for name, clock in CLOCKS.items()}
                if turn == 0:  # loads, compiles, is compared with float32
                    first[way] = took["wall"]
                    continue
                for clock, value in took.items():
                    seconds[way][clock].append(value)
    return {way: (seconds[way], first[way], found[way]) for way in ways}


def table(name: str, timed: dict, count: int) -> Iterator[tuple[str, ...]]:
    """Tidy rows: medians, ratios to the limit of the same turns, the least and the most."""
    plain = timed[LIMIT][-1].double()
    for way, (clocks, first, features) in timed.items():
        for clock, seconds in clocks.items():
            if clock == "own CPU" and way not in (LIMIT, STAGE):
                continue  # others have threads of their own
            of = [a / b for a, b in zip(timed[LIMIT][0][clock], seconds, strict=True)]
            value, ratio = count / statistics.median(seconds), statistics.median(of)
            spread = f"{count / max(seconds):.3g} to {count / min(seconds):.3g}"
            yield name, way, "speed", f"{value:.3g}", f"images/{clock} s", f"{ratio:.2f}", spread
        first -= statistics.median(clocks["wall"])
        yield name, way, "first turn, more", f"{first:.1f}", "wall s", "", ""
        cosine = torch.cosine_similarity(plain, features.double()).min()
        yield name, way, "cosine", f"{cosine:.8f}", "1", "", ""


if __name__ == "__main__":
    main()
