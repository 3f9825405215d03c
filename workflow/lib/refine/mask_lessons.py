"""A U-Net as a lesson for the training loop: tiles, their truth, and how much each pixel counts."""

import numpy as np
import torch
from torch.nn import functional

from workflow.lib.jobs.devices import mixed
from workflow.lib.networks.fitting import full_batches, parameter_groups
from workflow.lib.refine.truth_bags import TruthBag
from workflow.lib.refine.unets import UNet
from workflow.lib.refine.weight_maps import balance
from workflow.lib.tiles.augmentation import jitter_colour, orient
from workflow.lib.tiles.elastic import deform, draw_displacement
from workflow.lib.tiles.inference import read_ahead, to_input


class MaskLesson:
    """A U-Net that learns from pixel masks (lib/networks/fitting.py says what a lesson is).

    The loss is the mean over the pixels of w(x) times the cross-entropy of x; the class weights in
    w are those of the training tiles, for validation tiles too, so that both can be compared.
    augmentation: flips, rotations, elastic_px (deviation of the deformation), colour_jitter. Image
    and truth are turned and bent together; only the image changes its colours.
    """

    def __init__(
        self,
        model: UNet,
        training: TruthBag,
        validation: TruthBag,
        *,
        batch_size: int,
        augmentation: dict,
        precision: str,
        device: torch.device,
    ) -> None:
        self.model = model.place(device)
        self.training, self.validation = training, validation
        self.batch_size, self.augmentation = batch_size, augmentation
        self.precision, self.device = precision, device
        self.class_weights = torch.tensor(balance(training.counts), dtype=torch.float32)
        self.seen: list[tuple[float, int]] = []

    def groups(self, learning_rate: float, weight_decay: float) -> list[dict]:
        """What is optimised: all that may learn, biases and norms without decay."""
        everything = self.model.parameters()
        return parameter_groups(everything, peak=learning_rate, weight_decay=weight_decay)

    def batches(self, seed: int) -> list[torch.Tensor]:
        """All training tiles in random order; a last batch that is not full is left out."""
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self.training.tiles), generator=generator)
        return full_batches(order, self.batch_size)

    def read(self, indices: torch.Tensor) -> np.ndarray:
        return self.training.tiles.read(indices)

    def names(self, indices: torch.Tensor) -> list[str]:
        return self.training.tiles.names(indices)

    def loss(
        self, indices: torch.Tensor, pixels: np.ndarray, generator: torch.Generator
    ) -> torch.Tensor:
        tiles = to_input(pixels, self.device)
        maps = self.training.maps(indices).to(self.device)
        turn = {name: self.augmentation[name] for name in ("flips", "rotations")}
        turned = orient(torch.cat([tiles, maps], dim=1), **turn, generator=generator)
        if sd_px := self.augmentation["elastic_px"]:
            side = turned.shape[-1]
            bend = draw_displacement(len(turned), side, sd_px, generator=generator)
            truth = deform(turned[:, 3:4], bend, "nearest")
            turned = deform(turned, bend, "bilinear")
            turned[:, 3:4] = truth
        tiles, maps = turned[:, :3], turned[:, 3:]
        if strength := self.augmentation["colour_jitter"]:
            tiles = jitter_colour(tiles, strength, generator=generator)
        return self._loss(tiles, maps)

    def recall(self) -> dict[str, float]:
        """The mean loss over the tiles since the last call."""
        losses, tiles = np.array(self.seen).T
        self.seen = []
        return {"loss": float(np.average(losses, weights=tiles))}

    @torch.no_grad()
    def validate(self) -> dict[str, float] | None:
        if not len(self.validation.tiles):
            return None
        batches = list(torch.arange(len(self.validation.tiles)).split(self.batch_size))
        for indices, pixels in read_ahead(self.validation.tiles.read, batches):
            self._loss(to_input(pixels, self.device), self.validation.maps(indices).to(self.device))
        return self.recall()

    def validation_names(self) -> list[str]:
        return self.validation.tiles.slides

    def _loss(self, tiles: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        truth, border = maps[:, 0].long(), maps[:, 1]
        with mixed(self.device, self.precision):
            logits = self.model(tiles).float()
        weights = self.class_weights.to(self.device)[truth] + border
        loss = (weights * functional.cross_entropy(logits, truth, reduction="none")).mean()
        self.seen.append((loss.item(), len(tiles)))
        return loss
