"""A U-Net decoder on a frozen classifier: from its feature maps to a probability per pixel.

The architecture of NEGEV (MIDL 2022). The encoder and the head of the classifier stay as they
are, batch-norm statistics included, so what the classifier says of a tile cannot change while
the decoder learns where.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn

from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.saved_models import check_start, load_model, save_model

CHANNELS = (256, 128, 64, 32, 16)  # of the decoder's blocks, deepest first, as published


class Decoder(nn.Module):
    """Two planes of logits (background, foreground) for every pixel of a tile.

    classifier: trained; frozen here. Its feature maps, one per stride, are the skips.
    channels: of the blocks, deepest first; there are as many blocks as feature maps, so three
        maps use the first three. Only `learnt` (blocks and head) is ever trained or saved.
    """

    def __init__(self, classifier: Classifier, channels: Sequence[int] = CHANNELS) -> None:
        # It brings timm along, 4 s for every job that builds no decoder.
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

        super().__init__()
        self.classifier = classifier.requires_grad_(False).eval()
        skips = list(classifier.backbone.channels)
        self.channels = list(channels)[: len(skips)]
        self.learnt = nn.ModuleDict(
            {
                "blocks": UnetDecoder([3, *skips], self.channels, n_blocks=len(skips)),
                "head": nn.Conv2d(self.channels[-1], 2, kernel_size=3, padding=1),
            }
        )

    def train(self, mode: bool = True) -> "Decoder":
        """Switch the decoder's mode; the classifier stays in evaluation whatever the mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Logits (B, 2, H, W) of RGB tiles (B, 3, H, W) float in 0..1."""
        with torch.no_grad():
            features = self.classifier.pyramid(tiles)
        return self.logits(tiles, features)

    def logits(self, tiles: torch.Tensor, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits (B, 2, H, W) from the feature maps of tiles (B, 3, H, W), shallow to deep."""
        if self.learnt["head"].weight.is_contiguous():  # else every convolution would turn them
            features = [each.contiguous() for each in features]
        return self.learnt["head"](self.learnt["blocks"]([tiles, *features]))

    def place(self, device: torch.device) -> "Decoder":
        """Move to `device` to be trained there, each part laid out as it is fastest; itself.

        That is channels last, but for what learns on a processor: with tiles of 192 px a step takes
        it a quarter longer then (docs/decisions/training.md).
        """
        self.to(device, memory_format=torch.channels_last)
        if device.type == "cpu":
            self.learnt.to(memory_format=torch.contiguous_format)
        return self

    def probability(self, tiles: torch.Tensor) -> torch.Tensor:
        """Foreground probability (B, H, W) of RGB tiles (B, 3, H, W) float in 0..1."""
        return torch.softmax(self(tiles).float(), dim=1)[:, 1]

    def save(self, folder: Path, facts: dict, *, trained_on: str) -> None:
        """Write model.safetensors (what is learnt), and model.json with `facts`.

        trained_on: what identifies the classifier, which has a file of its own.
        """
        made = {"channels": self.channels, "classifier": trained_on}
        save_model(self.learnt, folder, {**facts, **made})


def load_decoder(
    folder: Path,
    classifier: Classifier,
    *,
    trained_on: str,
    build: Callable[[dict], Decoder] | None = None,
) -> Decoder:
    """The decoder that `save` wrote into `folder`, on its classifier, in evaluation.

    build: makes it from its record, where it is more than a Decoder.
    Raises ValueError, naming the file, when it is damaged or was trained on another classifier
    than `trained_on`, whose features it would misread.
    """

    def rebuild(record: dict) -> Decoder:
        check_start(folder, record, trained_on)
        return build(record) if build else Decoder(classifier, record["channels"])

    return load_model(folder, rebuild, saved=lambda decoder: decoder.learnt)
