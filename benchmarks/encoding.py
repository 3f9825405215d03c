"""Features of tiles: the whole stage beside its forward pass alone, and one engine beside others.

    python benchmarks/encoding.py --networks squeezenet1_1 resnet50 --tiles 64

Drawn tiles lie in a store of a temporary folder; weights are random unless a checkpoint is given.
`forward` is a network on tensors that are in memory, `stage` is what extract_features does with it:
reading, computing and writing, the network being loaded and compiled already. All ways of a network
take turns; numbers are medians of the turns, after one that does not count: `first` is by how many
seconds it was longer, for compiling. Ratios are those of images/s in the same turns: to the forward
pass of the same engine, and to that of eager float32. `own` counts the CPU seconds of the thread
that computes alone, without the reading on another core: with --threads 1 it is the ratio to trust
on a busy machine, but for engines with threads of their own. `cosine` is the least of any tile to
eager float32. OpenVINO and ONNX Runtime take part where they are installed, bf16 where the hardware
has it, several GPUs not at all: each has jobs of its own. `from-to` is the least and the most of
the images/CPU s of the turns.

With --compiling N a second table has the seconds until the first batch is computed of N processes
one after the other, with one cache: the first compiles, the others load what it left.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.drawn_stores import draw_store
from benchmarks.tables import find_library, print_table
from workflow.lib.jobs.devices import choose_precision, prepare
from workflow.lib.networks.encoders import Encoder, build_encoder, extract
from workflow.lib.networks.forward import ENGINES, Forward
from workflow.lib.tiles.inference import to_input
from workflow.lib.tiles.kept_memory import kept_memory
from workflow.lib.tiles.stores import Tiles, append_rows, create_group, create_rows

NETWORKS = ("squeezenet1_1", "resnet50", "vit_small_patch16_224")
PEER = "onnxruntime"  # which the stage does not use
OWN_THREADS = ("openvino", PEER)
LIMIT, STAGE = "forward", "stage"
PLAIN = ("eager fp32", LIMIT)
CLOCKS = {"wall": time.perf_counter, "CPU": time.process_time, "own": time.thread_time}
HEAD = (
    *("network", "engine", "what", "images/wall s", "images/CPU s", "from-to"),
    *("of its forward: wall", "CPU", "own", "of eager fp32: wall", "CPU", "first s", "cosine"),
)
COMPILING = ("network", "precision", "process", "wall s", "CPU s")
TEXTS = (0, 1, 2)  # columns; the others are numbers
Way = Callable[[], torch.Tensor]  # computes the features of all tiles


class Timed(NamedTuple):
    """Seconds of each clock and turn, wall seconds of the first turn, and the features."""

    seconds: dict[str, list[float]]
    first: float
    features: torch.Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    choices = (*ENGINES, PEER)
    parser.add_argument("--engines", nargs="+", choices=choices, default=choices)
    parser.add_argument("--tiles", type=int, default=64)
    parser.add_argument("--tile-px", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5, help="turns of every way")
    parser.add_argument("--threads", type=int, default=1, help="of torch, as jobs have")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--codec", choices=["lossless", "jpeg"], default="jpeg")
    parser.add_argument("--checkpoint", default="random")
    parser.add_argument("--weights", type=Path, help="the folder of a checkpoint's file")
    parser.add_argument("--compiling", type=int, default=0, help="processes; see above")
    parser.add_argument("--compile", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.compile:
        print(json.dumps(compile_once(*given.compile, given)))
        return
    if given.tiles % given.batch:
        parser.error("--tiles is no multiple of --batch")
    table = [HEAD]
    with tempfile.TemporaryDirectory(prefix="encoding-") as name:
        folder, rng = Path(name), np.random.default_rng(0)
        made = {"tile_px": given.tile_px, "count": given.tiles, "codec": given.codec}
        draw_store(folder / "tiles.zarr", rng, **made)
        for network in given.networks:
            ways = make_ways(network, Tiles(folder / "tiles.zarr"), folder, given)
            table += rows(network, time_ways(ways, given.rounds), given.tiles)
    print_table(table, texts=TEXTS)
    if given.compiling:
        print()
        print_table([COMPILING, *compiling(given)], texts=TEXTS)


def compiling(given: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Rows of COMPILING: processes of each network and precision that share a new cache."""
    precisions = dict.fromkeys(("fp32", choose_precision("bf16", prepare("cpu", threads=1))))
    for network in given.networks:
        for precision in precisions:
            with tempfile.TemporaryDirectory(prefix="compiled-") as cache:
                for process in range(given.compiling):
                    own = ("--compile", network, precision, "--batch", str(given.batch))
                    own += ("--tile-px", str(given.tile_px), "--threads", str(given.threads))
                    command = [sys.executable, __file__, *own, "--device", "cpu"]
                    there = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache}
                    done = subprocess.run(command, env=there, stdout=subprocess.PIPE, check=True)
                    seconds = (f"{each:.1f}" for each in json.loads(done.stdout.splitlines()[-1]))
                    yield (network, precision, "compiles" if not process else "loads", *seconds)


def compile_once(network: str, precision: str, given: argparse.Namespace) -> tuple[float, float]:
    """Wall and CPU seconds, without imports and weights, until a whole batch is computed."""
    device = prepare(given.device, threads=given.threads)
    made = build_encoder(network, checkpoint=given.checkpoint, weights=given.weights, seed=0)
    made.to(device, memory_format=torch.channels_last)
    tiles = to_input(np.zeros((given.batch, given.tile_px, given.tile_px, 3), np.uint8), device)
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    forward = Forward(
        made, engine="compiled", precision=precision, batch=given.batch, device=device
    )
    with torch.inference_mode():
        forward(tiles)
    if forward.engine != "compiled":
        raise SystemExit(f"{network} cannot be compiled here")
    return time.perf_counter() - wall, sum(os.times()[:4]) - cpu


def make_ways(
    name: str, store: Tiles, folder: Path, given: argparse.Namespace
) -> dict[tuple[str, str], Way]:
    """(engine and precision, forward or stage) -> what computes; eager float32 comes first."""
    device = prepare(given.device, threads=given.threads)
    starts = range(0, given.tiles, given.batch)
    batches = [to_input(store.batch(range(s, s + given.batch)), device) for s in starts]

    def network() -> Encoder:
        made = build_encoder(name, checkpoint=given.checkpoint, weights=given.weights, seed=0)
        return made.to(device, memory_format=torch.channels_last)

    def in_memory(call: Callable[[torch.Tensor], torch.Tensor]) -> Way:
        return lambda: torch.cat([call(tiles).float() for tiles in batches]).cpu()

    formats = dict.fromkeys(("fp32", choose_precision("bf16", device)))
    ways: dict[tuple[str, str], Way] = {}
    for precision in formats:
        for engine in dict.fromkeys(("eager", *given.engines)):
            title = f"{engine} {precision}"
            if engine in OWN_THREADS and (device.type != "cpu" or not find_library(engine)):
                continue
            if engine == PEER and precision == "fp32":
                ways[title, LIMIT] = in_memory(peer(network(), batches[0], folder, given.threads))
            elif engine != PEER:
                how = {"engine": engine, "precision": precision}
                made = Forward(network(), **how, batch=given.batch, device=device)
                ways[title, LIMIT] = in_memory(made)
                ways[title, STAGE] = lambda made=made: stage(made, store, folder)
    return ways


def stage(made: Forward, store: Tiles, folder: Path) -> torch.Tensor:
    """Features as extract_features writes them, from a store to a store."""
    with tempfile.TemporaryDirectory(dir=folder) as unit:
        group, shape = create_group(Path(unit) / "features.zarr"), (len(store), made.network.dim)
        features = create_rows(group, "features", shape, "float32")
        append_rows(features, extract(made, store.batch, len(store)))
        return torch.from_numpy(features[:])


def peer(network: Encoder, tiles: torch.Tensor, folder: Path, threads: int) -> Callable:
    """The forward pass by ONNX Runtime."""
    library, file = find_library(PEER), str(folder / "network.onnx")
    torch.onnx.export(network, (tiles.contiguous(),), file, dynamo=False, input_names=["tiles"])
    options = library.SessionOptions()
    options.intra_op_num_threads = threads
    session = library.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    run = lambda given: session.run(None, {"tiles": given.contiguous().numpy()})[0]  # noqa: E731
    return lambda given: torch.from_numpy(run(given))


def time_ways(ways: dict[tuple[str, str], Way], rounds: int) -> dict[tuple[str, str], Timed]:
    """Each way `rounds` times in turns, after a first turn that loads, compiles and compares."""
    seconds = {way: {clock: [] for clock in CLOCKS} for way in ways}
    first, features = {}, {}
    # The limit has the memory of the stage, which would win by that alone.
    with kept_memory(torch.device("cpu")), torch.inference_mode():
        for turn in range(1 + rounds):
            for way, call in ways.items():
                begun = {name: clock() for name, clock in CLOCKS.items()}
                features[way] = call()  # on the processor: what was asked of a GPU is done
                took = {name: clock() - begun[name] for name, clock in CLOCKS.items()}
                if turn == 0:
                    first[way] = took["wall"]
                    continue
                for name, value in took.items():
                    seconds[way][name].append(value)
    return {way: Timed(seconds[way], first[way], features[way]) for way in ways}


def rows(network: str, timed: dict[tuple[str, str], Timed], count: int) -> list[tuple[str, ...]]:
    """The rows of the table for one network of `count` tiles."""
    plain, table = timed[PLAIN], []
    for (title, what), it in timed.items():

        def ratio(other: Timed, clock: str, it: Timed = it) -> str:
            turns = zip(other.seconds[clock], it.seconds[clock], strict=True)
            return f"{statistics.median(a / b for a, b in turns):.2f}"

        taken = [statistics.median(it.seconds[clock]) for clock in ("wall", "CPU")]
        speeds = [f"{count / seconds:.3g}" for seconds in taken]
        ends = [count / end(it.seconds["CPU"]) for end in (max, min)]
        speeds.append("-".join(f"{end:.3g}" for end in ends))
        own = ["wall", "CPU"] if title.split()[0] in OWN_THREADS else ["wall", "CPU", "own"]
        of_own = [ratio(timed[title, LIMIT], clock) for clock in own] + [""] * (3 - len(own))
        of_plain = [ratio(plain, clock) for clock in ("wall", "CPU")]
        first = f"{max(0, it.first - taken[0]):.1f}"
        alike = torch.cosine_similarity(plain.features.double(), it.features.double()).min()
        table.append((network, title, what, *speeds, *of_own, *of_plain, first, f"{alike:.7f}"))
    return table


if __name__ == "__main__":
    main()
