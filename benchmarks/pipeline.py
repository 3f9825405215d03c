"""From a slide to its features and its heatmap, stage by stage, as the slide grows.

    python benchmarks/pipeline.py SLIDE --sides 10000 20000 40000 60000

The first 2,048 x 2,048 px of SLIDE, or drawn tissue without one, are repeated to square slides with
levels 4 and 16 times coarser, as BigTIFF of JPEG tiles (256 px, quality 75, 4:2:0). Each stage is a
process of its own that does what the workflow does, with config/config.yaml, but a small network
that nobody trained, and maps 4 times coarser, as large slides have them. `wall s` and `CPU s` are
those of the stage without what it imports, medians of the rounds, with the least and the most (a
size whose first round takes minutes has one); `slope` is that of log(CPU s) by
log(area) from the size before: 1 is linear. `peak MB` is the memory of the process at its highest.
`to features` is what the first four stages take, beside what a plain loop takes for the same tiles
(peer.py): `peer/it` is above 1 where ours takes less. All files lie in a temporary folder and are
gone in the end: 200 MB at 20,000 px, nine times that at 60,000.
"""

import argparse
import importlib
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.growing_slides import draw_block, read_block, write_slide
from benchmarks.tables import print_table
from workflow.lib.jobs.arguments import from_command_line
from workflow.lib.jobs.job import _peak_kb
from workflow.lib.jobs.shard import Shard, commit

ROOT = Path(__file__).resolve().parents[1]
HEAD = ("stage", "side px", "tiles", "wall s", "from-to", "CPU s", "from-to", "slope", "peak MB")
HEAD += ("peer/it: wall", "CPU")
QUICK_S = 180  # a size whose first round took longer is measured once
CLASSES, BATCH = ["normal", "tumour"], 64
NETWORK = "squeezenet1_1"  # the time of a network is its own: benchmarks/encoding.py
STUDY = {
    "extract_features": {"encoder": NETWORK},
    "labels": {"level": "image", "classes": CLASSES, "negative": "normal"},
    "refine_masks": {"methods": ["none"], "downsample": 4},
    "compute": {"device": "cpu", "batch": BATCH},
}
MODEL = "classifiers/fold0.json"
MAPS = {"cams": "cams/fold0/all.json", "refined": "refined/none/fold0/all.json"}
SEEN = {"tiles": "tiles/all.json", "splits": "splits.tsv", "classifier": MODEL}
# Stage -> what it is given beside its config: as the rules do.
STAGES = {
    "check_slide": {"checks": "checks/all.json"},
    "mask_tissue": {"checks": "checks/all.json", "tissue": "tissue/all.json"},
    "tile_slide": {name: f"{name}/all.json" for name in ("checks", "tissue", "tiles")},
    "extract_features": {name: f"{name}/all.json" for name in ("tiles", "features")},
    "make_cams": SEEN | {"cams": MAPS["cams"], "cam": "cam"},
    "refine_masks": SEEN | MAPS | {"method": "none"},
    "stitch_heatmap": {
        **{"tiles": "tiles/all.json", "refined": MAPS["refined"], "splits": "splits.tsv"},
        **{"heatmaps": "heatmaps/all.json", "method": "none"},
    },
    "draw_overlay": {
        name: f"{name}/all.json" for name in ("tiles", "tissue", "heatmaps", "overlays")
    },
}
LEARNT = {"extract_features", "make_cams", "refine_masks"}  # these are told how many threads
PEER, WHOLE = "peer", "to features"
PARTS = ("check_slide", "mask_tissue", "tile_slide", "extract_features")  # of WHOLE
MADE = ("checks", "tissue", "tiles", "features", "cams", "refined", "heatmaps", "overlays")


class Cost(NamedTuple):
    """Seconds by the wall clock and of CPUs, and MB at the highest."""

    wall: float
    cpu: float
    peak: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("slide", type=Path, nargs="?")
    parser.add_argument("--sides", type=int, nargs="+", default=[10_000, 20_000, 40_000, 60_000])
    parser.add_argument("--rounds", type=int, default=3, help="of a size that is quick")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stage", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        print(json.dumps(run(*given.stage)))
        return
    block = read_block(given.slide) if given.slide else draw_block()
    found: dict = {}
    for side in sorted(given.sides):
        with tempfile.TemporaryDirectory(prefix="pipeline-") as name:
            folder = Path(name)
            prepare(folder, block, side)
            for turn in range(given.rounds):
                for made in MADE:
                    shutil.rmtree(folder / made, ignore_errors=True)
                for stage in (*STAGES, PEER):
                    cost = measure(folder, stage, given.threads)
                    found.setdefault((stage, side), []).append(cost)
                    said = f"{stage} of {side:,} px: {cost.wall:.2f} s, {cost.cpu:.2f} CPU s"
                    print(f"{said}, {cost.peak:,.0f} MB", file=sys.stderr, flush=True)
                if (
                    not turn
                    and sum(costs[0].wall for (_, s), costs in found.items() if s == side) > QUICK_S
                ):
                    break
            index = json.loads((folder / "tiles/slide/manifest.json").read_text())
            found["tiles", side] = index["facts"]["tiles"]
            found[WHOLE, side] = add(found[part, side] for part in PARTS)
    print_table([HEAD, *rows(found, sorted(given.sides))], texts=(0,))


def add(parts: Iterator[list[Cost]]) -> list[Cost]:
    """What stages take one after the other, round by round."""
    turns = zip(*parts, strict=True)
    return [
        Cost(sum(c.wall for c in t), sum(c.cpu for c in t), max(c.peak for c in t)) for t in turns
    ]


def rows(found: dict, sides: list[int]) -> Iterator[tuple[str, ...]]:
    """The rows of the table: every stage at every size."""
    for stage in (*STAGES, WHOLE, PEER):
        for before, side in zip([None, *sides], sides, strict=False):
            costs, slope, ratios = found[stage, side], "", ("", "")
            walls, cpus = [c.wall for c in costs], [c.cpu for c in costs]
            cpu = statistics.median(cpus)
            if before:
                ratio = cpu / statistics.median(c.cpu for c in found[stage, before])
                slope = f"{math.log(ratio) / (2 * math.log(side / before)):.2f}"
            if stage == WHOLE:
                turns = [*zip(found[PEER, side], costs, strict=True)]
                both = [(peer.wall / it.wall, peer.cpu / it.cpu) for peer, it in turns]
                ratios = tuple(f"{statistics.median(of):.2f}" for of in zip(*both, strict=True))
            row = (stage, f"{side:,}", f"{found['tiles', side]:,}", *spread(walls), *spread(cpus))
            yield (*row, slope, f"{max(c.peak for c in costs):,.0f}", *ratios)


def spread(seconds: list[float]) -> tuple[str, str]:
    """The median, and from the least to the most where there are several."""
    ends = f"{min(seconds):.2f}-{max(seconds):.2f}" if len(seconds) > 1 else ""
    return f"{statistics.median(seconds):.2f}", ends


def prepare(folder: Path, block: np.ndarray, side: int) -> None:
    """A slide of `side` px, its sheet, its study, and that it is tested in the only fold."""
    write_slide(folder / "slide.tif", block, side)
    row = {"slide": "slide", "patient": "p", "label": "tumour"}
    tables = {"slides.tsv": row | {"path": "slide.tif"}}
    tables |= {"splits.tsv": {"fold": "0"} | row | {"split": "test"}}
    for name, cells in tables.items():
        (folder / name).write_text("\t".join(cells) + "\n" + "\t".join(cells.values()) + "\n")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))


def measure(folder: Path, stage: str, threads: int) -> Cost:
    """What a stage takes, in a process of its own."""
    own = {"configfile": "study.yaml", "sheet": "slides.tsv", **STAGES.get(stage, {})}
    own |= {"threads": str(threads)} if stage in LEARNT else {}
    given = [word for name, value in own.items() for word in (f"--{name}", value)]
    given = [str(threads)] if stage == PEER else given
    command = [sys.executable, __file__, "--stage", stage, *given]
    threaded = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | threaded
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{stage} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def run(stage: str, *arguments: str) -> Cost:
    """Be a stage, or the peer of those that lead to features."""
    call = prepare_peer(int(arguments[0])) if stage == PEER else prepare_stage(stage, *arguments)
    begun, cpu = time.perf_counter(), spent()
    call()
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak = max(_peak_kb(), children) / 1024
    return Cost(time.perf_counter() - begun, spent() - cpu, peak)


def prepare_stage(stage: str, *arguments: str) -> Callable[[], None]:
    """The stage, imported and with its arguments."""
    function = getattr(importlib.import_module(f"workflow.scripts.{stage}"), stage)
    sys.argv = [stage, *arguments]
    given = from_command_line(function)
    if "classifier" in given and not given["classifier"].is_file():
        make_classifier(given["classifier"], given["shard"])
    return lambda: function(**given)


def prepare_peer(threads: int) -> Callable[[], None]:
    """The plain loop over the tiles of the slide, in the batches of extract_features."""
    import torch

    from benchmarks import peer
    from workflow.lib.networks.encoders import build_encoder
    from workflow.lib.tiles.stores import Tiles

    def call() -> None:
        torch.set_num_threads(threads)
        store = Tiles(Path("tiles/slide/tiles.zarr"))
        encoder = build_encoder(NETWORK, checkpoint="random", weights=None, seed=0)
        side = round(store.attrs["tile_px"] * store.attrs["scale"])
        how = {"tile_px": store.attrs["tile_px"], "side_px0": side, "batch": BATCH}
        found = peer.encode_slide(Path("slide.tif"), store.origins, encoder, **how)
        peer.write_features(Path("features.h5"), found, len(store))

    return call


def spent() -> float:
    """CPU seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


def make_classifier(index: Path, shard: Shard) -> None:
    """One that was never trained: the speed is the same."""
    import torch

    from workflow.lib.networks.backbones import build_backbone
    from workflow.lib.networks.classifiers import Classifier

    torch.manual_seed(0)
    start = build_backbone(NETWORK, checkpoint="random", weights=None, seed=0)
    defaults = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())["tile_slide"]
    model = Classifier(start, CLASSES, tile_px=defaults["tile_px"], mpp=defaults["mpp"])
    commit(index, shard, lambda unit: model.save(unit, {}))


if __name__ == "__main__":
    main()
