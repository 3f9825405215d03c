"""Train a tile classifier from the labels of slides. No pixel mask is ever read."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch.nn import functional

from workflow.lib.jobs.devices import mixed
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.fitting import full_batches, parameter_groups
from workflow.lib.networks.label_lessons import fit_labels, measure
from workflow.lib.tiles.augmentation import augment
from workflow.lib.tiles.bags import TileBag, balanced_order, tile_weights
from workflow.lib.tiles.inference import infer, to_input

# What is drawn equally often: classes and their slides, classes and their clusters, or nothing.
Balance = Literal["classes", "clusters", "none"]
LAST_EPOCH = "the last epoch, because not every class has a validation tile"
CHOSEN_BY = "lowest validation loss of tiles, every slide of a class and every class counted alike"
WEAK_AUROC = 0.65  # below it, on validation tiles, a cam says little about where a class is


def train(
    model: Classifier,
    training: TileBag,
    validation: TileBag,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    backbone_learning_rate_factor: float,
    precision: str,
    weight_decay: float,
    label_smoothing: float,
    patience: int,
    balance: Balance,
    augmentation: dict,
    seed: int,
    device: torch.device,
    work: Path,
    key: str,
    judge: Callable[[], float] | None = None,
    judged_by: str = CHOSEN_BY,
) -> dict:
    """Train `model` in place, leave it with the weights of its best epoch, and tell how it went.

    The backbone learns `backbone_learning_rate_factor` times as fast as the head; at 0 it is
    frozen, statistics of its norms included, and only the head is trained. `precision` is of the
    training steps (devices.mixed); validation is float32, as the classifier will be used.
    lib/networks/fitting.py says how the loop paces, stops and resumes from `work` and `key`, and
    what a `judge` is; `judged_by` says it in the report.
    Returns {"curves": rows of epoch, split, loss, accuracy, auroc, lr; "best_epoch";
    "chosen_by"}. Raises ValueError, naming the slides, when a loss is not finite.
    """
    model.to(device, memory_format=torch.channels_last)
    model.backbone.requires_grad_(backbone_learning_rate_factor > 0)
    lesson = LabelLesson(
        model,
        training,
        validation,
        batch_size=batch_size,
        balance=balance,
        label_smoothing=label_smoothing,
        augmentation=augmentation,
        precision=precision,
        device=device,
    )
    groups = _parameter_groups(model, learning_rate, backbone_learning_rate_factor, weight_decay)
    return fit_labels(
        lesson,
        groups,
        labels=validation.label,
        epochs=epochs,
        patience=patience,
        seed=seed,
        work=work,
        key=key,
        best=judged_by if judge else CHOSEN_BY,
        last=LAST_EPOCH,
        judge=judge,
    )


def weakness(curves: Sequence[dict], best_epoch: int, fold: int) -> str | None:
    """What speaks against localising with this classifier, as far as validation tiles show."""
    best = [row for row in curves if row["epoch"] == best_epoch and row["split"] == "val"]
    auroc = best[0]["auroc"] if best else None
    if auroc is None or auroc >= WEAK_AUROC:
        return None
    return (
        f"The classifier of fold {fold} reaches an AUROC of only {auroc:.2f} on validation tiles: "
        "too weak to localise from. Treat its cams and what is made of them with suspicion."
    )


class LabelLesson:
    """A classifier that learns the class of each tile (lib/networks/fitting.py: a lesson)."""

    def __init__(
        self,
        model: Classifier,
        training: TileBag,
        validation: TileBag,
        *,
        batch_size: int,
        balance: Balance,
        label_smoothing: float,
        augmentation: dict,
        precision: str,
        device: torch.device,
    ) -> None:
        self.model, self.training, self.validation = model, training, validation
        self.batch_size, self.balance = batch_size, balance
        self.label_smoothing, self.augmentation = label_smoothing, augmentation
        self.precision, self.device = precision, device
        self.seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def batches(self, seed: int) -> list[torch.Tensor]:
        return _batches(self.training, self.batch_size, self.balance, seed=seed)

    def read(self, indices: torch.Tensor) -> np.ndarray:
        return self.training.read(indices)

    def names(self, indices: torch.Tensor) -> list[str]:
        return self.training.names(indices)

    def loss(
        self, indices: torch.Tensor, pixels: np.ndarray, generator: torch.Generator
    ) -> torch.Tensor:
        tiles = augment(to_input(pixels, self.device), **self.augmentation, generator=generator)
        labels = self.training.label[indices]
        with mixed(self.device, self.precision):
            found = self.model(tiles).float()
        self.seen.append((found.detach().cpu(), labels))
        return functional.cross_entropy(
            found, labels.to(self.device), label_smoothing=self.label_smoothing
        )

    def recall(self) -> dict:
        logits, labels = (torch.cat(part) for part in zip(*self.seen, strict=True))
        self.seen = []
        return measure(logits, labels, torch.ones(len(labels)))

    def validate(self) -> dict | None:
        if not len(self.validation):
            return None
        return _validate(self.model, self.validation, self.batch_size, self.device)

    def validation_names(self) -> list[str]:
        return self.validation.slides


def _parameter_groups(
    model: Classifier, learning_rate: float, backbone_factor: float, weight_decay: float
) -> list[dict]:
    """Head and backbone, as fitting.parameter_groups."""
    parts = ((model.head, learning_rate), (model.backbone, learning_rate * backbone_factor))
    return [
        group
        for part, peak in parts
        for group in parameter_groups(part.parameters(), peak=peak, weight_decay=weight_decay)
    ]


def _batches(bag: TileBag, size: int, balance: Balance, *, seed: int) -> list[torch.Tensor]:
    """Tile indices of one epoch."""
    generator = torch.Generator().manual_seed(seed)
    if balance == "none":
        order = torch.randperm(len(bag), generator=generator)
    else:
        by = bag.cluster if balance == "clusters" else None
        order = balanced_order(bag, by=by, generator=generator)
    return full_batches(order, size)


def _validate(model: Classifier, bag: TileBag, batch_size: int, device: torch.device) -> dict:
    """The measures of a bag's tiles, weighted alike however training draws its own."""
    found = infer(model, bag.read, len(bag), batch=batch_size, device=device)
    logits = torch.from_numpy(np.concatenate([rows for _, rows in found]))
    return measure(logits, bag.label, tile_weights(bag))
