"""A U-Net that learns from pixel masks: the decoder of NEGEV, and the encoder may learn as well.

Ronneberger et al., MICCAI 2015. Its overlap-tile strategy is here a mirrored margin round a tile,
so that a pixel at the edge of a tile is judged from as much context as one in the middle.
"""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.saved_models import check_start, load_model, save_model
from workflow.lib.refine.decoders import CHANNELS, Decoder

Encoder = Literal["frozen", "trained"]


class UNet(Decoder):
    """Two planes of logits (background, foreground) for every pixel of a tile.

    classifier: trained; where the U-Net starts from. It is copied, and stays what it is.
    encoder: whether the backbone of that copy stays as it is, or learns too and is saved too.
    context_px: width of the mirrored margin, less than a tile.
    """

    def __init__(
        self,
        classifier: Classifier,
        channels: Sequence[int] = CHANNELS,
        *,
        encoder: Encoder,
        context_px: int,
    ) -> None:
        super().__init__(copy.deepcopy(classifier), channels)
        self.encoder, self.context_px = encoder, context_px
        self.classifier.backbone.requires_grad_(encoder == "trained")

    def train(self, mode: bool = True) -> "UNet":
        """Switch the mode; a frozen encoder stays in evaluation (Classifier.train)."""
        super().train(mode)
        self.classifier.train(mode)
        return self

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Logits (B, 2, H, W) of RGB tiles (B, 3, H, W) float in 0..1."""
        margin, (height, width) = self.context_px, tiles.shape[-2:]
        seen = functional.pad(tiles, (margin,) * 4, mode="reflect")
        logits = self.logits(seen, self.classifier.pyramid(seen))
        return logits[..., margin : margin + height, margin : margin + width]

    def saved(self) -> nn.Module:
        """What has learnt: blocks and head, and the encoder where it is trained."""
        if self.encoder == "frozen":
            return self.learnt
        return nn.ModuleDict({"learnt": self.learnt, "backbone": self.classifier.backbone})

    def save(self, folder: Path, facts: dict, *, trained_on: str) -> None:
        """Write model.safetensors (`saved`), and model.json with `facts`.

        trained_on: what identifies the classifier, which has a file of its own.
        """
        made = {"channels": self.channels, "encoder": self.encoder, "context_px": self.context_px}
        save_model(self.saved(), folder, {**facts, **made, "classifier": trained_on})


def load_unet(folder: Path, classifier: Classifier, *, trained_on: str) -> UNet:
    """The U-Net that `save` wrote into `folder`, from its classifier, in evaluation.

    Raises ValueError, naming the file, when it is damaged or started from another classifier than
    `trained_on`.
    """

    def build(record: dict) -> UNet:
        check_start(folder, record, trained_on)
        made = {key: record[key] for key in ("encoder", "context_px")}
        return UNet(classifier, record["channels"], **made)

    return load_model(folder, build, saved=UNet.saved)
