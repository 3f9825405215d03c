"""NEGEV as a lesson for the training loop: tiles, their evidence, and seeds fresh every step."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from workflow.lib.jobs.devices import mixed
from workflow.lib.networks.fitting import derive_seed, full_batches, parameter_groups
from workflow.lib.refine.decoders import Decoder
from workflow.lib.refine.negev import negev_loss, sample_mask_seeds, sample_seeds, thin_seeds
from workflow.lib.refine.seed_bags import SeedBag
from workflow.lib.tiles.augmentation import augment
from workflow.lib.tiles.inference import read_ahead, to_input

Sample = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def make_sampler(
    *,
    seeds: Literal["cam", "pseudo_mask"],
    background: Literal["official", "intended"],
    foreground_pixels: int,
    background_pixels: int,
    dilate_px: int,
) -> Sample:
    """The function that draws seeds from maps; `background` is for cams only."""
    counts = {
        "foreground_pixels": foreground_pixels,
        "background_pixels": background_pixels,
        "dilate_px": dilate_px,
    }
    if seeds == "cam":
        return lambda maps, generator: sample_seeds(
            maps, **counts, background=background, generator=generator
        )
    if seeds == "pseudo_mask":
        return lambda maps, generator: sample_mask_seeds(maps, **counts, generator=generator)
    raise ValueError(f"train_negev.seeds is {seeds!r}; write cam or pseudo_mask")


class SeedLesson:
    """A decoder that learns from seeds (lib/networks/fitting.py says what a lesson is).

    sample(maps, generator) -> seeds, drawn anew for each batch; on validation tiles always from
    the same random numbers, so that epochs can be compared.
    precision: of the network's steps (devices.mixed); the loss is float32.
    augmentation: flips, rotations, crop, colour_jitter. Image and map are turned and cut together;
    only the image changes its colours.
    """

    terms = ("loss", "seed_loss", "negative_loss")

    def __init__(
        self,
        model: Decoder,
        training: SeedBag,
        validation: SeedBag,
        sample: Sample,
        *,
        seed_weight: float,
        batch_size: int,
        augmentation: dict,
        precision: str,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model = model.place(device)
        self.training, self.validation, self.sample = training, validation, sample
        self.seed_weight, self.batch_size = seed_weight, batch_size
        self.augmentation, self.seed, self.device = augmentation, seed, device
        self.precision = precision
        self.seen: list[list[float]] = []

    def groups(self, learning_rate: float, weight_decay: float) -> list[dict]:
        """What is optimised: the decoder only, biases and norms without decay."""
        trained = self.model.learnt.parameters()
        return parameter_groups(trained, peak=learning_rate, weight_decay=weight_decay)

    def batches(self, seed: int) -> list[torch.Tensor]:
        """All training tiles in random order; a last batch that is not full is left out."""
        generator = torch.Generator().manual_seed(seed)
        return full_batches(self.deal(generator), self.batch_size)

    def deal(self, generator: torch.Generator) -> torch.Tensor:
        """The training tiles of one epoch in the order in which they come."""
        return torch.randperm(len(self.training.tiles), generator=generator)

    def read(self, indices: torch.Tensor) -> np.ndarray:
        return self.training.tiles.read(indices)

    def names(self, indices: torch.Tensor) -> list[str]:
        return self.training.tiles.names(indices)

    def loss(
        self, indices: torch.Tensor, pixels: np.ndarray, generator: torch.Generator
    ) -> torch.Tensor:
        tiles = to_input(pixels, self.device)
        maps = self.training.maps(indices).to(self.device, tiles.dtype)
        both = torch.cat([tiles, maps[:, None]], dim=1)
        both = augment(both, **self.augmentation, generator=generator)
        return self._terms(self.training, indices, both[:, :3], both[:, 3], generator)[0]

    def recall(self) -> dict[str, float]:
        """The mean of every term over the batches since the last call."""
        means = np.mean(self.seen, axis=0)
        self.seen = []
        return dict(zip(self.terms, map(float, means), strict=True))

    @torch.no_grad()
    def validate(self) -> dict[str, float] | None:
        if not len(self.validation.tiles):
            return None
        generator = torch.Generator().manual_seed(derive_seed(self.seed))
        batches = list(torch.arange(len(self.validation.tiles)).split(self.batch_size))
        for indices, pixels in read_ahead(self.validation.tiles.read, batches):
            tiles = to_input(pixels, self.device)
            maps = self.validation.maps(indices).to(self.device, tiles.dtype)
            self._terms(self.validation, indices, tiles, maps, generator)
        return self.recall()

    def validation_names(self) -> list[str]:
        return self.validation.tiles.slides

    def _terms(
        self,
        bag: SeedBag,
        indices: torch.Tensor,
        tiles: torch.Tensor,
        maps: torch.Tensor,
        generator: torch.Generator,
    ) -> tuple[torch.Tensor, ...]:
        seeds = self.sample(maps, generator)
        if bag.thinned:
            seeds = thin_seeds(seeds, maps, generator)
        negative = bag.negative[indices].to(self.device)
        with mixed(self.device, self.precision):
            logits = self.model(tiles).float()
        terms = self._losses(logits, seeds, negative, tiles)
        self.seen.append([term.item() for term in terms])
        return terms

    def _losses(
        self,
        logits: torch.Tensor,
        seeds: torch.Tensor,
        negative: torch.Tensor,
        tiles: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """The values of `terms` on tiles (B, 3, h, w), for which logits are (B, 2, h, w)."""
        return negev_loss(logits, seeds, negative, seed_weight=self.seed_weight)
