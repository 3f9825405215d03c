"""A U-Net decoder on a frozen classifier: from its feature maps to a probability per pixel.

The architecture of NEGEV (MIDL 2022). The encoder and the head of the classifier stay as they
are, batch-norm statistics included, so what the classifier says of a tile cannot change while
the decoder learns where.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import nn

from workflow.lib import checkpoints
from workflow.lib.classifiers import Classifier

CHANNELS = (256, 128, 64, 32, 16)  # of the decoder's blocks, deepest first, as published


class Decoder(nn.Module):
    """Two planes of logits (background, foreground) for every pixel of a tile.

    classifier: trained; frozen here. Its feature maps, one per stride, are the skips.
    channels: of the blocks, deepest first; there are as many blocks as feature maps, so three
        maps use the first three. Only `learnt` (blocks and head) is ever trained or saved.
    """

    def __init__(self, classifier: Classifier, channels: Sequence[int] = CHANNELS) -> None:
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
        return self.learnt["head"](self.learnt["blocks"]([tiles, *features]))

    def probability(self, tiles: torch.Tensor) -> torch.Tensor:
        """Foreground probability (B, H, W) of RGB tiles (B, 3, H, W) float in 0..1."""
        return torch.softmax(self(tiles).float(), dim=1)[:, 1]

    def save(self, folder: Path, facts: dict, *, trained_on: str) -> None:
        """Write model.safetensors (what is learnt), and model.json with `facts`.

        trained_on: what identifies the classifier, which has a file of its own.
        """
        state = self.learnt.state_dict()
        tensors = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
        save_file(tensors, folder / "model.safetensors")
        record = {
            **facts,
            "channels": self.channels,
            "classifier": trained_on,
            "sha256": checkpoints.sha256(folder / "model.safetensors"),
        }
        (folder / "model.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def load_decoder(folder: Path, classifier: Classifier, *, trained_on: str) -> Decoder:
    """The decoder that `save` wrote into `folder`, on its classifier, in evaluation.

    Raises ValueError, naming the file, when it is damaged or was trained on another classifier
    than `trained_on`, whose features it would misread.
    """
    record, file = json.loads((folder / "model.json").read_text()), folder / "model.safetensors"
    if record["classifier"] != trained_on:
        raise ValueError(
            f"{file} was trained on another classifier ({record['classifier'][:12]}, not "
            f"{trained_on[:12]}); train the decoder of this fold anew"
        )
    if checkpoints.sha256(file) != record["sha256"]:
        raise ValueError(
            f"{file} is not the file that {folder / 'model.json'} describes: it is damaged; "
            "delete its folder and run again to train it anew"
        )
    with torch.random.fork_rng(devices=[]):
        decoder = Decoder(classifier, record["channels"])
    checkpoints.load(decoder.learnt, load_file(file), source=file)
    return decoder.eval()
