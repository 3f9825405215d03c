"""The training loop of every network here: it reads as prose, and resumes as if never interrupted.

Every epoch is seeded by (seed, epoch) and every batch by (seed, epoch, batch), so that all the
state there is to save is the network's and the optimiser's.
"""

import copy
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from workflow.lib.networks import resuming
from workflow.lib.tiles.inference import read_ahead
from workflow.lib.tiles.waiting import Waiting

log = logging.getLogger(__name__)

# Share of the batch statistics from before an epoch that may be left after it.
STALE = 0.05


class Lesson(Protocol):
    """What is to be learnt, from which tiles; the loop only knows when."""

    model: nn.Module
    epoch: int  # that the loop is in, from 0; set by the loop
    seen: list  # what `recall` is made from, of tensors and plain values; kept when it is ended

    def batches(self, seed: int) -> list[torch.Tensor]:
        """Tile indices of one epoch, batch by batch."""

    def read(self, indices: torch.Tensor) -> np.ndarray:
        """Pixels (B, t, t, 3) uint8; called ahead of time, from another thread."""

    def loss(
        self, indices: torch.Tensor, pixels: np.ndarray, generator: torch.Generator
    ) -> torch.Tensor:
        """The loss of one batch; `generator` is for whatever is random about it."""

    def names(self, indices: torch.Tensor) -> list[str]:
        """The slides that a batch is from, for the error when its loss is not finite."""

    def recall(self) -> dict[str, float | None]:
        """How training went since the last call, "loss" included."""

    def validate(self) -> dict[str, float | None] | None:
        """The same of the validation tiles, the model in evaluation; None where there are none."""

    def validation_names(self) -> list[str]:
        """The slides that validation tiles are from."""


@contextmanager
def within_memory() -> Iterator[None]:
    """Around a training, or on one: MemoryError with the remedy when a GPU has no room for a step.

    A batch is not halved as it is where nothing is learnt (lib/tiles/inference.py): with another
    batch a network learns something else, and that is for people to decide.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise MemoryError(
            f"a training step does not fit on the GPU ({said}); lower the batch_size of this "
            "training (of train_aggregator: max_tiles) and run again: it is part of what is "
            "learnt, so it is not lowered by itself, and the training begins anew with it"
        ) from error


@within_memory()
def fit(
    lesson: Lesson,
    groups: Sequence[dict],
    *,
    epochs: int,
    patience: int | None,
    seed: int,
    work: Path,
    key: str,
    judge: Callable[[], float] | None = None,
) -> dict:
    """Train `lesson.model` in place, leave it with the weights of its best epoch, tell how it went.

    groups: parameter groups of AdamW, each with its "params", "peak" rate and "weight_decay".
    One epoch of warm-up, then a cosine to zero over `epochs`; it stops early after `patience`
    epochs without a lower validation loss. Without validation tiles, or when `patience` is None,
    it trains all epochs and keeps the last. `judge`, where it is given, says how well the network
    places, in evaluation (PxAP): then the epoch with the highest is the best, not the lowest loss,
    and it chooses without validation tiles as well.

    `work` is a folder for the checkpoint after each epoch, and after the step at which SIGTERM asks
    the process to end: a second call with the same `key` goes on from there, bitwise as if it had
    not stopped (on a CPU with the same number of threads); with another key it starts anew.
    Returns {"curves": rows of epoch, split, what the lesson says, lr; "best_epoch"; "validated":
    whether validation chose it}.

    Raises ValueError, naming the slides, when a loss or a gradient is not finite; no weights of
    that epoch are written anywhere. Raises resuming.Stopped when it was asked to end, MemoryError
    where a step does not fit on the GPU.
    """
    model = lesson.model
    optimiser = torch.optim.AdamW([{**group, "lr": group["peak"]} for group in groups])
    state = {"key": key, "epoch": 0, "best_epoch": 0, "best_loss": math.inf, "curves": []}
    state |= {"validated": False}
    state = resuming.resume(work, key, model=model, optimiser=optimiser) or state
    waiting = Waiting()

    def learnt() -> dict:
        return {"model": model.state_dict(), "optimiser": optimiser.state_dict()}

    with resuming.asked_to_end() as asked:
        for epoch in tqdm(range(state["epoch"], epochs), desc="epochs", disable=None, leave=False):
            if state["validated"] and epoch - state["best_epoch"] >= patience:
                log.info("No better epoch than %d since then: stopped.", state["best_epoch"])
                break
            lesson.epoch = epoch
            torch.manual_seed(derive_seed(seed, epoch, 0))  # for what is random inside the network
            batches = lesson.batches(derive_seed(seed, epoch, 0))
            set_momentum(model.train(), len(batches))
            begun = state.pop("step", 0)
            if begun:
                lesson.seen = state.pop("seen")
                torch.set_rng_state(state.pop("random"))
            steps = waiting.watch(read_ahead(lesson.read, batches[begun:]))
            for step, (indices, pixels) in enumerate(steps, begun):
                pace = _pace(epoch * len(batches) + step, len(batches), epochs)
                for group in optimiser.param_groups:
                    group["lr"] = pace * group["peak"]
                generator = torch.Generator().manual_seed(derive_seed(seed, epoch, step + 1))
                loss = lesson.loss(indices, pixels, generator)
                _check_finite(loss.item(), "training loss", lesson.names(indices), epoch)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                steepness = _steepness(optimiser)
                _check_finite(steepness, "training gradient", lesson.names(indices), epoch)
                optimiser.step()
                if asked:
                    within = {"step": step + 1, "seen": lesson.seen}
                    within["random"] = torch.get_rng_state()
                    resuming.save(work, state | learnt() | within)
                    where = f"step {step + 1} of {len(batches)} in epoch {epoch + 1}"
                    raise resuming.Stopped(where)
            rate = optimiser.param_groups[0]["lr"]
            told = lesson.recall()
            rows = [{"epoch": epoch + 1, "split": "train", **told, "lr": rate}]
            model.eval()
            seen = lesson.validate()
            if seen is not None:
                _check_finite(seen["loss"], "validation loss", lesson.validation_names(), epoch)
            if judge:  # slides of known pixels can be without evidence, and so without a loss
                rows[0]["pxap"], seen = None, (seen or dict.fromkeys(told)) | {"pxap": judge()}
            if seen is not None:
                rows.append({"epoch": epoch + 1, "split": "val", **seen, "lr": rate})
            log.info("Epoch %d of %d: %s.", epoch + 1, epochs, _sentence(rows))
            validated = patience is not None and seen is not None
            state |= {"epoch": epoch + 1, "curves": state["curves"] + rows, "validated": validated}
            cost = math.inf if not validated else -seen["pxap"] if judge else seen["loss"]
            if not validated or cost < state["best_loss"]:
                state |= {"best_epoch": epoch + 1, "best_loss": cost}
                state["best"] = copy.deepcopy(model.state_dict())
            resuming.save(work, state | learnt())
    if waiting.total:  # all epochs may have been there
        log.info(waiting.sentence())
    model.load_state_dict(state["best"])
    model.eval()
    return {name: state[name] for name in ("curves", "best_epoch", "validated")}


def parameter_groups(
    parameters: Iterable[nn.Parameter], *, peak: float, weight_decay: float
) -> list[dict]:
    """Those that may learn as groups for `fit`: kernels, and biases and norms without decay."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    groups = [
        {
            "params": [p for p in trained if (p.ndim > 1) == kernels],
            "peak": peak,
            "weight_decay": weight_decay if kernels else 0.0,
        }
        for kernels in (True, False)
    ]
    return [group for group in groups if group["params"]]


def full_batches(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """`order` in batches; a last one that is not full is left out, unless it is all there is."""
    batches = list(order.split(size))
    return [batch for batch in batches if len(batch) == size] or batches


def derive_seed(*parts: int) -> int:
    """One seed from several numbers; related numbers give unrelated seeds."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def set_momentum(model: nn.Module, steps: int) -> None:
    """Let batch norms follow within an epoch of `steps`: torch's 0.1 is too slow for small data."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.training:
            module.momentum = max(0.1, 1 - STALE ** (1 / steps))


def _pace(step: int, warm_up: int, epochs: int) -> float:
    """Share of the peak learning rate at `step`: a linear warm-up, a cosine down to zero."""
    cosine = (1 + math.cos(math.pi * step / (warm_up * epochs))) / 2
    return min(1.0, (step + 1) / warm_up) * cosine


def _steepness(optimiser: torch.optim.Optimizer) -> float:
    """Norm of all gradients; a loss can be finite where its gradient is not."""
    learnt = (p for group in optimiser.param_groups for p in group["params"])
    return nn.utils.get_total_norm([p.grad for p in learnt if p.grad is not None]).item()


def _check_finite(value: float, what: str, slides: list[str], epoch: int) -> None:
    if not math.isfinite(value):
        raise ValueError(
            f"E_NUMBER: The {what} is {value} in epoch {epoch + 1}, on tiles of "
            f"{', '.join(slides)}; look at these slides, or lower the learning_rate"
        )


def _sentence(rows: list[dict]) -> str:
    """A row as words: loss first, and accuracy where the lesson has one."""
    told = [[name for name in ("loss", "accuracy") if row.get(name) is not None] for row in rows]
    return ", ".join(
        " ".join([row["split"], *(f"{name} {row[name]:.3f}" for name in names)])
        for row, names in zip(rows, told, strict=True)
    )
