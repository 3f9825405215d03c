"""A tile classifier whose evidence can be seen: backbone, global average pooling, linear head.

Because pooling and head are linear, the head applied at every location of the last feature map
gives the class activation map (Zhou et al., CVPR 2016), whose mean over locations is the logit.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from workflow.lib import checkpoints
from workflow.lib.backbones import Backbone


class Classifier(nn.Module):
    """Class scores of RGB tiles (B, 3, t, t), float in 0..1.

    classes: names in the order of the scores
    tile_px, mpp: of the tiles that it is trained on
    """

    def __init__(
        self, backbone: Backbone, classes: Sequence[str], *, tile_px: int, mpp: float
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.channels[-1], len(classes))
        self.classes, self.tile_px, self.mpp = list(classes), tile_px, mpp

    def train(self, mode: bool = True) -> "Classifier":
        """Switch the mode; a backbone of which nothing is trained stays in evaluation."""
        super().train(mode)
        self.backbone.train(mode and any(p.requires_grad for p in self.backbone.parameters()))
        return self

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return self.logits(tiles)

    def logits(self, tiles: torch.Tensor) -> torch.Tensor:
        """Unnormalised scores (B, C)."""
        return self.head(self.backbone(tiles).mean(dim=(2, 3)))

    def cam(self, tiles: torch.Tensor) -> torch.Tensor:
        """Evidence (B, C, h, w): the head at every location, bias included, not normalised."""
        kernel = self.head.weight[:, :, None, None]
        return functional.conv2d(self.backbone(tiles), kernel, self.head.bias)

    def pyramid(self, tiles: torch.Tensor) -> list[torch.Tensor]:
        """The backbone's feature maps (B, C, h, w), shallow to deep."""
        return self.backbone.pyramid(tiles)

    def save(self, folder: Path, facts: dict) -> None:
        """Write model.safetensors, and model.json with what rebuilds it and `facts`."""
        tensors = {name: tensor.cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, folder / "model.safetensors")
        record = {
            **facts,
            "backbone": self.backbone.name,
            "channels": self.backbone.sees,
            "mean": self.backbone.mean,
            "std": self.backbone.std,
            "classes": self.classes,
            "tile_px": self.tile_px,
            "mpp": self.mpp,
            "sha256": checkpoints.sha256(folder / "model.safetensors"),
        }
        (folder / "model.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """The classifier that `save` wrote into `folder`, in evaluation.

        Raises ValueError, naming the file, when it is damaged or is not the one that was saved.
        """
        record, file = json.loads((folder / "model.json").read_text()), folder / "model.safetensors"
        if checkpoints.sha256(file) != record["sha256"]:
            raise ValueError(
                f"{file} is not the file that {folder / 'model.json'} describes: it is damaged; "
                "delete its folder and run again to train it anew"
            )
        with torch.random.fork_rng(devices=[]):
            seen = record.get("channels", "rgb")  # not recorded before there was a choice
            backbone = Backbone(record["backbone"], record["mean"], record["std"], seen)
            model = cls(backbone, record["classes"], tile_px=record["tile_px"], mpp=record["mpp"])
        checkpoints.load(model, load_file(file), source=file)
        return model.eval()
