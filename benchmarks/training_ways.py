"""The ways to compute the steps of training.py: what each changes, and a clock at their parts."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from workflow.lib.networks import fitting
from workflow.lib.refine import seed_lessons
from workflow.lib.refine.decoders import Decoder

USUAL, LIMIT, WHOLE, CACHED = "as it is", "in memory", "whole tiles", "whole tiles, cached"
WAYS = [USUAL, "channels last", "contiguous", "compiled", "bf16", WHOLE, CACHED, LIMIT]
OF_DECODERS = ("channels last", WHOLE, CACHED)  # a classifier has channels last as it is


class Way:
    """One way to compute the steps of a case: its lesson, and how long they take.

    patches: what replaces functions of the lesson's module while it runs
    seconds: of every step but the first of a turn: the "step" and its parts, by `clock`
    waits, walls: of the same steps by the wall clock: until the tiles are there, and all of it
    first: of the very first step, in which networks are compiled
    """

    def __init__(
        self,
        lesson: fitting.Lesson,
        groups: list[dict],
        module: object,
        device: torch.device,
        clock: Callable[[], float],
    ) -> None:
        self.lesson, self.groups, self.module, self.device = lesson, groups, module, device
        self.clock = clock
        self.patches: dict[str, Callable] = {}
        self.seconds: dict[str, list[float]] = {"step": [], "reading": []}
        self.waits, self.walls = [], []
        self.first: float | None = None
        self.spent: dict[str, float] = {}

    def run(self, work: Path) -> None:
        """One epoch, as train_classifier and train_negev run it."""
        rules = {"epochs": 1, "patience": None, "seed": 0, "work": work, "key": ""}
        with (
            patch.multiple(self.module, **self.patches),
            patch.object(fitting, "read_ahead", self.watch),
        ):
            fitting.fit(self.lesson, self.groups, **rules)
        (work / "checkpoint.pt").unlink()

    def watch(self, read: Callable, batches: Sequence) -> Iterator:
        """read_ahead, with a look at the clock before and after."""
        steps = seed_lessons.read_ahead(read, batches)
        for index in range(len(batches)):
            self.spent = dict.fromkeys(self.spent, 0.0)
            begun, asked = self.clock(), time.perf_counter()
            found = next(steps)
            waits, waited = self.clock() - begun, time.perf_counter() - asked
            yield found
            step, wall = self.now() - begun, time.perf_counter() - asked
            if self.first is None:
                self.first = step
            if index:
                spent = self.spent | {"step": step}
                inside = sum(spent.get(part, 0.0) for part in ("preparing", "encoder"))
                for part, value in (spent | {"learning": step - waits - inside}).items():
                    self.seconds.setdefault(part, []).append(value)
                self.waits.append(waited)
                self.walls.append(wall)

    def read(self, call: Callable) -> Callable:
        """`call`, each time of which counts as one of "reading": it is in another thread."""

        def wrapped(indices: torch.Tensor) -> np.ndarray:
            begun = self.clock()
            found = call(indices)
            self.seconds["reading"].append(self.clock() - begun)
            return found

        return wrapped

    def timed(self, part: str, call: Callable) -> Callable:
        """`call`, whose time within a step counts as that of `part`."""
        self.spent[part] = 0.0

        def wrapped(*given: object, **named: object) -> object:
            begun = self.now()
            found = call(*given, **named)
            self.spent[part] += self.now() - begun
            return found

        return wrapped

    def waited(self) -> float:
        """The share of all steps that passes before their tiles are there, as trainings log it."""
        return sum(self.waits) / sum(self.walls)

    def median(self, part: str) -> float:
        return statistics.median(self.seconds[part])

    def now(self) -> float:
        """Seconds, when all that was asked of the device is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.clock()


def change(way: Way, name: str, folder: Path) -> None:
    """Make the lesson of `way` what `name` says, and put a clock to its parts."""
    lesson, model = way.lesson, way.lesson.model
    decodes = isinstance(model, Decoder)
    holder, call = (model.classifier, "pyramid") if decodes else (model.backbone, "forward")
    plain = {each: getattr(way.module, each) for each in ("to_input", "augment")}
    patches = dict(plain)
    if name == "channels last":
        model.to(memory_format=torch.channels_last)
    if name == "contiguous":
        model.to(memory_format=torch.contiguous_format)
        patches["augment"] = lambda *given, **rest: plain["augment"](*given, **rest).contiguous()
    if name == "compiled":
        model.compile()
    if name == LIMIT:
        patches = {each: held(function) for each, function in plain.items()}
        lesson.read = held(lesson.read)
    if name == CACHED:
        lesson.read, patches["to_input"], holder.pyramid = cached(lesson, folder)
    if decodes:
        prepares = [(lesson.training, "maps"), (lesson, "sample")]
        for owner, each in prepares:
            function = getattr(owner, each)
            setattr(
                owner, each, way.timed("preparing", held(function) if name == LIMIT else function)
            )
    lesson.read = way.read(lesson.read)
    way.patches = {each: way.timed("preparing", function) for each, function in patches.items()}
    if name != "compiled":  # it is within what is compiled
        setattr(holder, call, way.timed("encoder", getattr(holder, call)))


def held(call: Callable) -> Callable:
    """`call`, made once: what it gave is given again."""
    found: list[object] = []

    def again(*given: object, **named: object) -> object:
        if not found:
            found.append(call(*given, **named))
        return found[0]

    return again


def cached(lesson: seed_lessons.SeedLesson, folder: Path) -> tuple[Callable, Callable, Callable]:
    """Feature maps read from a file of float16 rows: read, to_input and pyramid of such a lesson.

    The numbers in it are random; a row stands for one of the eight views of a tile. It has just
    been written, so that it is read from memory: with more tiles than fit there, a disk comes in.
    """
    tile_px, device = lesson.model.classifier.tile_px, lesson.device
    with torch.no_grad():
        maps = lesson.model.classifier.pyramid(torch.zeros(1, 3, tile_px, tile_px, device=device))
    shapes = [(each.shape[2], each.shape[3], each.shape[1]) for each in maps]  # channels last
    sizes = [int(np.prod(shape)) for shape in shapes]
    rows = np.memmap(
        folder / "features", np.float16, "w+", shape=(len(lesson.training.tiles), sum(sizes))
    )
    for row in rows:
        row[:] = np.random.default_rng(0).random(sum(sizes), np.float32)
    rows.flush()
    tiles = torch.zeros(lesson.batch_size, 3, tile_px, tile_px, device=device)
    read: list[torch.Tensor] = []

    def to_input(pixels: np.ndarray, _: torch.device) -> torch.Tensor:
        read[:] = [torch.from_numpy(pixels).to(device, non_blocking=True)]
        return tiles

    def pyramid(_: torch.Tensor) -> list[torch.Tensor]:
        parts = zip(read[0].split(sizes, dim=1), shapes, strict=True)
        return [part.float().unflatten(1, shape).permute(0, 3, 1, 2) for part, shape in parts]

    return lambda indices: rows[indices.numpy()], to_input, pyramid
