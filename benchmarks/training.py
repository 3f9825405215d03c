"""A training step part by part, beside other ways to compute it and beside its limit.

    python benchmarks/training.py --cases negev:squeezenet1_1:224:8 --steps 3 --rounds 3

A case is lesson:backbone:tile_px:batch. The lessons are those of train_classifier (frozen: only the
head learns) and train_negev, in the loop that they train in, on tiles drawn into stores of a
temporary folder and with random weights. All ways of a case take turns; medians are shown. Tiles
are read while a step is computed: `waits %` is what is left of it, of the time of all steps by the
wall clock whatever the others are by, as the log of a training has it. The limit is the step on
tensors that are in memory already.
"""

import argparse
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.drawn_stores import draw_store
from benchmarks.tables import print_table
from benchmarks.training_ways import (
    LIMIT,
    OF_DECODERS,
    USUAL,
    WAYS,
    WHOLE,
    Way,
    change,
)
from workflow.lib.jobs.devices import choose_precision, prepare
from workflow.lib.networks import fitting, training
from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine import seed_lessons
from workflow.lib.refine.decoders import Decoder
from workflow.lib.refine.seed_bags import cam_bag
from workflow.lib.tiles.bags import TileBag
from workflow.lib.tiles.stores import Tiles, open_group, write_rows

CASES = [
    *(f"{lesson}:squeezenet1_1:224:{batch}" for lesson in ("frozen", "negev") for batch in (8, 32)),
    *(f"{lesson}:resnet18:128:32" for lesson in ("classifier", "negev")),
]
LESSONS = {"classifier": training, "frozen": training, "negev": seed_lessons}
PARTS = ("reading", "preparing", "encoder", "learning")
HEAD = ("case", "way", "s/step", "waits %", *PARTS, "of the limit", "as it is/it", "compiling s")
HEAD += ("pays after",)
CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}
AUGMENT = {"flips": True, "rotations": True, "crop": 0.86, "colour_jitter": 0.3}
SLIDES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", nargs="+", default=CASES)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--steps", type=int, default=4, help="of a turn; the first does not count")
    parser.add_argument("--rounds", type=int, default=3, help="turns of every way")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--codec", choices=["lossless", "jpeg"], default="lossless")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="cpu: seconds of the thread that trains, on a busy machine, with --threads 1",
    )
    given = parser.parse_args()
    if given.steps < 2:
        parser.error("--steps is below 2, and the first of them does not count")
    table = [HEAD]
    for case in given.cases:
        with tempfile.TemporaryDirectory(prefix="training-") as folder:
            table += compare(Path(folder), case, given)
    print_table(table, texts=(0, 1))


def compare(folder: Path, case: str, given: argparse.Namespace) -> list[tuple[str, ...]]:
    """The rows of the table for one case."""
    kind, backbone, *sizes = case.split(":")
    tile_px, batch = map(int, sizes)
    device = prepare(given.device, threads=given.threads)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = f"{folder}/compiled"  # nothing from earlier runs
    torch.compiler.reset()
    bag = draw_tiles(folder, tile_px, given.steps * batch, given.codec)
    names = [name for name in WAYS if name in (USUAL, LIMIT, *given.ways)]
    if kind != "negev":
        names = [name for name in names if name not in OF_DECODERS]
    rows, ways = [], {}
    for name in names:
        if name == "bf16" and choose_precision("bf16", device) != "bf16":
            rows.append((case, "bf16: not in this hardware", *[""] * (len(HEAD) - 2)))
            continue
        lesson, groups = make_lesson(kind, backbone, bag, batch, name, device)
        ways[name] = Way(lesson, groups, LESSONS[kind], device, CLOCKS[given.clock])
        change(ways[name], name, folder)
    for _ in range(given.rounds):
        for way in ways.values():
            way.run(folder / "work")
    usual, limit = (ways[name].median("step") for name in (USUAL, LIMIT))
    for name, way in ways.items():
        step, cost = way.median("step"), ("", "")
        if name == "compiled":
            extra = way.first - step
            cost = (f"{extra:.1f}", pays(extra, usual=usual, step=step))
        shown = [f"{way.median(part):.3g}" if part in way.seconds else "" for part in PARTS]
        waits = f"{100 * way.waited():.1f}"
        ratios = (f"{step / limit:.2f}", f"{usual / step:.2f}")
        rows.append((case, name, f"{step:.3g}", waits, *shown, *ratios, *cost))
    for row in rows:
        print(*row, file=sys.stderr, flush=True)
    return rows


def pays(extra: float, *, usual: float, step: float) -> str:
    """After how many steps `extra` seconds are made up for by a step shorter than usual."""
    return f"{math.ceil(extra / (usual - step)):,} steps" if step < usual else "never"


def draw_tiles(folder: Path, tile_px: int, count: int, codec: str) -> TileBag:
    """`count` tiles of a few slides in stores, with random cams beside them."""
    rng, stores, each = np.random.default_rng(0), [], -(-count // SLIDES)
    for slide in range(SLIDES):
        path = folder / f"{slide}.zarr"
        group = draw_store(path, rng, tile_px=tile_px, count=each, codec=codec)
        write_rows(group, "cams", rng.random((each, 2, 14, 14)).astype(np.float16))
        stores.append(Tiles(path))
    slides = [str(slide) for slide in range(SLIDES)]
    return TileBag(slides, stores, [slide % 2 for slide in range(SLIDES)])


def make_lesson(
    kind: str, backbone: str, bag: TileBag, batch: int, name: str, device: torch.device
) -> tuple[fitting.Lesson, list[dict]]:
    """The lesson of one way, and the groups of what is optimised."""
    torch.manual_seed(0)
    tile_px = bag.read([0]).shape[1]
    model = Classifier(Backbone(backbone), ["a", "b"], tile_px=tile_px, mpp=1.0)
    still = {"crop": 1, "colour_jitter": 0.0} if name.startswith(WHOLE) else {}
    rules = {"batch_size": batch, "augmentation": AUGMENT | still, "device": device}
    rules["precision"] = "bf16" if name == "bf16" else "fp32"
    if kind == "negev":
        cams = [open_group(store.path)["cams"] for store in bag.stores]
        reads = [lambda rows, of=of: torch.from_numpy(of[rows][:, 1]).float() for of in cams]
        seeds = {"foreground_pixels": 8, "background_pixels": 8, "dilate_px": 3}
        sampler = seed_lessons.make_sampler(seeds="cam", background="intended", **seeds)
        bags = [cam_bag(part, reads, tile_px) for part in (bag, bag.only([]))]
        decoder = Decoder(model)
        lesson = seed_lessons.SeedLesson(decoder, *bags, sampler, seed_weight=1.0, seed=0, **rules)
        return lesson, lesson.groups(1e-4, 1e-4)
    model.to(device, memory_format=torch.channels_last)
    model.backbone.requires_grad_(kind == "classifier")
    rules |= {"balance": "none", "label_smoothing": 0.0}
    lesson = training.LabelLesson(model, bag, bag.only([]), **rules)
    return lesson, fitting.parameter_groups(model.parameters(), peak=1e-4, weight_decay=1e-4)


if __name__ == "__main__":
    main()
