"""IRNet as a lesson for the training loop: tiles, and the labels of their pixels."""

import numpy as np
import torch
from torch.nn import functional

from workflow.lib.jobs.devices import mixed
from workflow.lib.networks.fitting import full_batches, parameter_groups
from workflow.lib.refine.affinities import TERMS, pair_losses
from workflow.lib.refine.irn import IRNet
from workflow.lib.tiles.augmentation import augment
from workflow.lib.tiles.bags import TileBag
from workflow.lib.tiles.inference import read_ahead, to_input

COLUMNS = ("loss", *(f"{term}_loss" for term in TERMS))


class AffinityLesson:
    """Boundaries and displacements from labels (lib/networks/fitting.py says what a lesson is).

    training, validation: tiles (M) with labels (M, g, g) uint8 (affinity_labels.label_bag)
    radius: of the pairs, in pixels of the network's maps
    augmentation: flips, rotations, crop, colour_jitter. Image and labels are turned and cut
    together; only the image changes its colours.
    precision: of the network's steps (devices.mixed); the loss is float32.
    """

    def __init__(
        self,
        model: IRNet,
        training: tuple[TileBag, torch.Tensor],
        validation: tuple[TileBag, torch.Tensor],
        *,
        radius: int,
        batch_size: int,
        augmentation: dict,
        precision: str,
        device: torch.device,
    ) -> None:
        self.model = model.to(device, memory_format=torch.channels_last)
        self.training, self.validation = training, validation
        self.radius, self.batch_size = radius, batch_size
        self.augmentation, self.precision, self.device = augmentation, precision, device
        self.seen: list[list[float]] = []

    def groups(self, learning_rate: float, factor: float, weight_decay: float) -> list[dict]:
        """What is optimised: both branches, displacements at `factor` of the rate."""
        peaks = {"boundary": learning_rate, "displacement": factor * learning_rate}
        return [
            group
            for name, peak in peaks.items()
            for group in parameter_groups(
                self.model.learnt[name].parameters(), peak=peak, weight_decay=weight_decay
            )
        ]

    def batches(self, seed: int) -> list[torch.Tensor]:
        """All training tiles in random order; a last batch that is not full is left out."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.training[0]), generator=generator)
        return full_batches(order, self.batch_size)

    def read(self, indices: torch.Tensor) -> np.ndarray:
        return self.training[0].read(indices)

    def names(self, indices: torch.Tensor) -> list[str]:
        return self.training[0].names(indices)

    def loss(
        self, indices: torch.Tensor, pixels: np.ndarray, generator: torch.Generator
    ) -> torch.Tensor:
        tiles = to_input(pixels, self.device)
        labels = self.training[1][indices].to(tiles)[:, None]
        labels = functional.interpolate(labels, tiles.shape[-2:], mode="nearest-exact")
        both = torch.cat([tiles, labels], dim=1)
        both = augment(both, **self.augmentation, generator=generator)
        return self._judge(both[:, :3], both[:, 3:])

    def recall(self) -> dict[str, float]:
        """The mean of every term over the batches since the last call."""
        means = np.mean(self.seen, axis=0)
        self.seen = []
        return dict(zip(COLUMNS, map(float, means), strict=True))

    @torch.no_grad()
    def validate(self) -> dict[str, float] | None:
        if not len(self.validation[0]):
            return None
        bag, labels = self.validation
        batches = list(torch.arange(len(bag)).split(self.batch_size))
        for indices, pixels in read_ahead(bag.read, batches):
            tiles = to_input(pixels, self.device)
            self._judge(tiles, labels[indices].to(tiles)[:, None])
        return self.recall()

    def validation_names(self) -> list[str]:
        return self.validation[0].slides

    @torch.no_grad()
    def centre(self) -> None:
        """Give displacements a mean of zero over the training tiles, once they are learnt."""
        bag, total = self.training[0], torch.zeros(2, dtype=torch.float64)
        for _, pixels in read_ahead(bag.read, torch.arange(len(bag)).split(self.batch_size)):
            _, displacement = self.model(to_input(pixels, self.device))
            total += displacement.double().mean(dim=(2, 3)).sum(dim=0).cpu()
        mean = self.model.learnt["displacement"].mean
        mean += (total / len(bag)).to(mean)

    def _judge(self, tiles: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss on tiles (B, 3, t, t) with labels (B, 1, ., .) of any size."""
        with mixed(self.device, self.precision):
            logits, displacement = self.model(tiles)
        labels = functional.interpolate(labels, logits.shape[-2:], mode="nearest-exact")[:, 0]
        terms = pair_losses(logits.float(), displacement.float(), labels, self.radius).values()
        loss = sum(terms) / 2  # (alike + unlike) / 2 + (foreground + background) / 2
        self.seen.append([loss.item(), *(term.item() for term in terms)])
        return loss
