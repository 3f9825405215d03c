"""From a slide to its features and its heatmap, stage by stage, as the slide grows.

    python benchmarks/pipeline.py SLIDE --sides 10000 20000 40000 60000

The first 2,048 x 2,048 px of SLIDE, or drawn tissue without one, are repeated to square slides with
levels 4 and 16 times coarser, as BigTIFF of JPEG tiles (256 px, quality 75, 4:2:0). Each stage is a
process of its own that does what the workflow does, with config/config.yaml, but a small network
that nobody trained, and maps 4 times coarser, as large slides have them. `CPU s` are those of the
stage without what it imports; `slope` is that of log(CPU s) by log(area) from the size before: 1 is
linear. `peak MB` is the memory of the process at its highest. All files lie in a temporary folder
and are gone in the end: 200 MB at 20,000 px, nine times that at 60,000.
"""

import argparse
import importlib
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import tifffile
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.tables import print_table
from workflow.lib.jobs.arguments import from_command_line
from workflow.lib.jobs.job import _peak_kb
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.slides.slides import open_reader

ROOT = Path(__file__).resolve().parents[1]
MPP, BLOCK_PX, TILE_PX, COARSER = 0.5, 2048, 256, (1, 4, 16)
HEAD = ("stage", "side px", "tiles", "CPU s", "slope", "peak MB")
CLASSES = ["normal", "tumour"]
NETWORK = "squeezenet1_1"  # the time of a network is its own: benchmarks/encoding.py
STUDY = {
    "extract_features": {"encoder": NETWORK},
    "labels": {"level": "image", "classes": CLASSES, "negative": "normal"},
    "refine_masks": {"methods": ["none"], "downsample": 4},
    "compute": {"device": "cpu"},
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("slide", type=Path, nargs="?")
    parser.add_argument("--sides", type=int, nargs="+", default=[10_000, 20_000, 40_000, 60_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--stage", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        print(json.dumps(run(*given.stage)))
        return
    block = read_block(given.slide) if given.slide else draw_block()
    found = {}
    for side in sorted(given.sides):
        with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
            prepare(Path(folder), block, side)
            for stage in STAGES:
                cpu, peak = found[stage, side] = measure(Path(folder), stage, given.threads)
                said = f"{stage} of {side:,} px: {cpu:.2f} CPU s, {peak:,.0f} MB"
                print(said, file=sys.stderr, flush=True)
            index = json.loads(Path(folder, "tiles/slide/manifest.json").read_text())
            found["tiles", side] = index["facts"]["tiles"]
    print_table([HEAD, *rows(found, sorted(given.sides))], texts=(0,))


def rows(found: dict, sides: list[int]) -> Iterator[tuple[str, ...]]:
    """The rows of the table: every stage at every size."""
    for stage in STAGES:
        for before, side in zip([None, *sides], sides, strict=False):
            cpu, peak = found[stage, side]
            slope = ""
            if before:
                ratio = cpu / found[stage, before][0]
                slope = f"{math.log(ratio) / (2 * math.log(side / before)):.2f}"
            row = (stage, f"{side:,}", f"{found['tiles', side]:,}", f"{cpu:.2f}", slope)
            yield (*row, f"{peak:,.0f}")


def read_block(slide: Path) -> np.ndarray:
    """The first pixels of a slide, (BLOCK_PX, BLOCK_PX, 3) uint8."""
    with open_reader(slide, mpp=MPP) as reader:
        if min(reader.height_px0, reader.width_px0) < BLOCK_PX:
            raise SystemExit(f"{slide.name} is smaller than {BLOCK_PX:,} x {BLOCK_PX:,} px")
        return reader.read((0, 0), (BLOCK_PX, BLOCK_PX))


def draw_block() -> np.ndarray:
    """Pink tissue with nuclei on white glass, half of each, (BLOCK_PX, BLOCK_PX, 3) uint8."""
    rng, (y, x) = np.random.default_rng(0), np.ogrid[:BLOCK_PX, :BLOCK_PX]
    middle = BLOCK_PX / 2
    inside = (y - middle) ** 2 + (x - middle) ** 2 < BLOCK_PX**2 / (2 * math.pi)
    nuclei = cv2.GaussianBlur(rng.normal(0, 1, (BLOCK_PX, BLOCK_PX)), (0, 0), 4) > 0.1
    pixels = np.where(inside[..., None], (206, 130, 175), (243, 242, 244))
    pixels = np.where((inside & nuclei)[..., None], (90, 60, 140), pixels)
    return np.clip(pixels + rng.normal(0, 5, pixels.shape), 0, 255).astype(np.uint8)


def write_slide(file: Path, block: np.ndarray, side: int) -> None:
    """The block, repeated to a square slide; tiles repeat too, and are encoded once."""
    with tifffile.TiffWriter(file, bigtiff=True) as tiff:
        for coarser in COARSER:
            part, length = BLOCK_PX // coarser, side // coarser
            small = cv2.resize(block, (part, part), interpolation=cv2.INTER_AREA)
            small = np.tile(small, (max(1, TILE_PX // part), max(1, TILE_PX // part), 1))
            tiles = np.array(np.split(small, len(small) // TILE_PX))  # rows of them
            encoded = [
                [
                    simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality=75)
                    for tile in np.split(row, small.shape[1] // TILE_PX, axis=1)
                ]
                for row in tiles
            ]
            each, count = len(encoded), -(-length // TILE_PX)
            tiff.write(
                (encoded[i // count % each][i % count % each] for i in range(count * count)),
                shape=(length, length, 3),
                dtype=np.uint8,
                photometric="rgb",  # which the JPEGs say they have been
                tile=(TILE_PX, TILE_PX),
                compression="jpeg",
                subsampling=(2, 2),
                resolution=(1e4 / (MPP * coarser), 1e4 / (MPP * coarser)),
                resolutionunit="CENTIMETER",
                subfiletype=int(coarser > 1),
                software=False,
                metadata=None,
            )


def prepare(folder: Path, block: np.ndarray, side: int) -> None:
    """A slide of `side` px, its sheet, its study, and that it is tested in the only fold."""
    write_slide(folder / "slide.tif", block, side)
    row = {"slide": "slide", "patient": "p", "label": "tumour"}
    tables = {"slides.tsv": row | {"path": "slide.tif"}}
    tables |= {"splits.tsv": {"fold": "0"} | row | {"split": "test"}}
    for name, cells in tables.items():
        (folder / name).write_text("\t".join(cells) + "\n" + "\t".join(cells.values()) + "\n")
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY))


def measure(folder: Path, stage: str, threads: int) -> tuple[float, float]:
    """CPU seconds and peak MB of a stage, in a process of its own."""
    own = {"configfile": "study.yaml", "sheet": "slides.tsv", **STAGES[stage]}
    own |= {"threads": str(threads)} if stage in LEARNT else {}
    given = [word for name, value in own.items() for word in (f"--{name}", value)]
    command = [sys.executable, __file__, "--stage", stage, *given]
    threaded = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | threaded
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{stage} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    cpu, peak = json.loads(done.stdout.splitlines()[-1])
    return cpu, peak


def run(stage: str, *arguments: str) -> tuple[float, float]:
    """Be a stage: CPU seconds and peak MB."""
    function = getattr(importlib.import_module(f"workflow.scripts.{stage}"), stage)
    sys.argv = [stage, *arguments]
    given = from_command_line(function)
    if "classifier" in given and not given["classifier"].is_file():
        make_classifier(given["classifier"], given["shard"])
    begun = spent()
    function(**given)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return spent() - begun, max(_peak_kb(), children) / 1024


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
