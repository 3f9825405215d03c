"""What a network learns of bags: the class of a slide from a sample of its tiles."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from workflow.lib.measures.label_metrics import balanced_weights
from workflow.lib.networks.aggregators import Aggregator, read_slide
from workflow.lib.networks.feature_bags import FeatureBags
from workflow.lib.networks.fitting import parameter_groups
from workflow.lib.networks.label_lessons import fit_labels, measure

LAST_EPOCH = "the last epoch, because not every class has a validation slide"
CHOSEN_BY = "lowest validation loss of slides, every class counted alike"
DRAWS = 1 << 62  # seeds that a step draws its tiles with


class BagLesson:
    """An aggregator that learns the class of each slide (lib/networks/fitting.py: a lesson).

    A step is one slide, and of it `max_tiles` tiles at most, drawn anew. Losses are weighted so
    that every class counts alike. A batch is a slide's index and the seed of its draw.
    """

    def __init__(
        self,
        model: Aggregator,
        training: FeatureBags,
        validation: FeatureBags,
        *,
        max_tiles: int,
        device: torch.device,
    ) -> None:
        self.model, self.training, self.validation = model, training, validation
        self.max_tiles, self.device = max_tiles, device
        self.weights = _weights(training)
        self.seen: list[tuple[int, torch.Tensor]] = []

    def batches(self, seed: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        slides = torch.randperm(len(self.training), generator=generator)
        draws = torch.randint(DRAWS, (len(slides),), generator=generator)
        return list(torch.stack([slides, draws], dim=1))

    def read(self, indices: torch.Tensor) -> np.ndarray:
        """Features (n, D) float32 of one slide."""
        slide, draw = indices.tolist()
        return self.training.sample(slide, self.max_tiles, seed=draw)

    def names(self, indices: torch.Tensor) -> list[str]:
        return [self.training.slides[int(indices[0])]]

    def loss(
        self, indices: torch.Tensor, features: np.ndarray, generator: torch.Generator
    ) -> torch.Tensor:
        slide = int(indices[0])
        logits = self.model(torch.from_numpy(features).to(self.device))
        self.seen.append((slide, logits.detach().cpu()))
        label = self.training.label[slide].to(self.device)
        return float(self.weights[slide]) * functional.cross_entropy(logits, label)

    def recall(self) -> dict:
        slides = [slide for slide, _ in self.seen]
        logits = torch.stack([found for _, found in self.seen])
        self.seen = []
        return measure(logits, self.training.label[slides], self.weights[slides])

    def validate(self) -> dict | None:
        bags = self.validation
        if not len(bags):
            return None
        found = [
            read_slide(self.model, bags.rows(index), device=self.device).logits
            for index in range(len(bags))
        ]
        return measure(torch.from_numpy(np.stack(found)), bags.label, _weights(bags))

    def validation_names(self) -> list[str]:
        return self.validation.slides


def train(
    model: Aggregator,
    training: FeatureBags,
    validation: FeatureBags,
    *,
    epochs: int,
    learning_rate: float,
    weight_decay: float,
    patience: int,
    max_tiles: int,
    seed: int,
    device: torch.device,
    work: Path,
    key: str,
) -> dict:
    """Train `model` in place, leave it with the weights of its best epoch, and tell how it went.

    Features are standardised by those of the training tiles first. lib/networks/fitting.py says
    how the loop paces, stops and resumes from `work` and `key`. Returns {"curves": rows of epoch,
    split, loss, accuracy, auroc, lr; "best_epoch"; "chosen_by"}. Raises ValueError, naming the
    slide, when a loss or a feature is not finite.
    """
    model.standardise(training.everything())
    model.to(device)
    lesson = BagLesson(model, training, validation, max_tiles=max_tiles, device=device)
    groups = parameter_groups(model.parameters(), peak=learning_rate, weight_decay=weight_decay)
    return fit_labels(
        lesson,
        groups,
        labels=validation.label,
        epochs=epochs,
        patience=patience,
        seed=seed,
        work=work,
        key=key,
        best=CHOSEN_BY,
        last=LAST_EPOCH,
    )


def _weights(bags: FeatureBags) -> torch.Tensor:
    """Weights (S,) float64 with mean 1 that give classes the same."""
    return torch.from_numpy(balanced_weights(np.arange(len(bags)), bags.label.numpy()))
