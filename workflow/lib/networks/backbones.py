"""Convolutional backbones: torchvision's classifiers without their heads, as feature pyramids."""

import logging
import pickle
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn

from workflow.lib.networks import checkpoints
from workflow.lib.networks.dilation import PROBE_PX, dilate, outline, stride_of
from workflow.lib.networks.torchvision_models import models
from workflow.lib.tiles.channels import STATISTICS, Channels

log = logging.getLogger(__name__)

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Google's weights for these two were trained on RGB in -1..1.
FROM_GOOGLE = ("googlenet", "inception_v3")
# Families whose body is a chain of blocks (B, C, h, w) -> (B, C', h', w').
FAMILIES = (
    "alexnet",
    "convnext",
    "densenet",
    "efficientnet",
    "googlenet",
    "inception",
    "mnasnet",
    "mobilenet",
    "regnet",
    "resnet",
    "resnext",
    "shufflenet",
    "squeezenet",
    "vgg",
    "wide_resnet",
)
HEADS = ("avgpool", "dropout", "fc", "classifier", "AuxLogits", "aux1", "aux2")
CHAINS = ("features", "layers", "trunk_output")  # what torchvision calls a chain inside a model


class Normalise(nn.Module):
    """Subtract the mean and divide by the standard deviation of each channel."""

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            column = torch.tensor([float(value) for value in values]).view(1, -1, 1, 1)
            self.register_buffer(name, column, persistent=False)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        return (tiles - self.mean) / self.std


class Backbone(nn.Module):
    """The body of a torchvision classifier; RGB in 0..1 goes in, normalisation happens inside.

    channels: of the feature maps of `pyramid`, shallow to deep
    strides: tile pixels per pixel of each map, to the nearest power of two
    stride: the most that `dilate` left it with; None as the backbone comes
    sees: what it is shown of the tile, given as `channels`: rgb, sobel or hed (channels.py)
    mean, std: of what it is shown, RGB in 0..1 or those channels, as the weights expect it
    """

    def __init__(
        self,
        name: str,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        channels: str = "rgb",
    ) -> None:
        super().__init__()
        self.name, self.mean, self.std, self.sees = name, list(mean), list(std), channels
        self.show = Channels(channels)
        self.normalise = Normalise(mean, std)
        self.trunk, self.stride = _trunk(name), None
        self.taps, self.channels, self.strides = self._probe()

    def record(self) -> dict:
        """What `rebuild` needs beside the weights, as JSON."""
        facts = {"mean": self.mean, "std": self.std, "stride": self.stride}
        return {"backbone": self.name, "channels": self.sees, **facts}

    @classmethod
    def rebuild(cls, record: dict) -> "Backbone":
        """The architecture that `record` told of, its weights not yet in it."""
        seen = record.get("channels", "rgb")  # not recorded before there was a choice, nor stride
        made = cls(record["backbone"], record["mean"], record["std"], seen)
        return made.dilate(record["stride"]) if record.get("stride") else made

    def dilate(self, stride: int) -> "Backbone":
        """Keep the last map at `stride` at most, weights as they are (dilation.py); itself.

        Maps that now have the same stride count as one: the pyramid has the deepest of them.
        """
        dilate(self.name, self._blocks(), stride)
        self.stride = stride
        self.taps, self.channels, self.strides = self._probe()
        return self

    def pyramid(self, tiles: torch.Tensor) -> list[torch.Tensor]:
        """Feature maps (B, C, h, w), shallow to deep, of RGB tiles (B, 3, H, W) in 0..1.

        A map is the last one before the next block shrinks it; maps as large as the tile are
        left out. Most backbones have five, at strides of about 2, 4, 8, 16 and 32.
        """
        maps, features = [], self.normalise(self.show(tiles))
        for index, block in enumerate(self._blocks()):
            features = block(features)
            if index in self.taps:
                maps.append(features)
        return maps

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """The deepest feature map (B, C, h, w) of RGB tiles (B, 3, H, W) in 0..1."""
        return self.pyramid(tiles)[-1]

    def _blocks(self) -> list[nn.Module]:
        children = self.trunk.named_children()
        return [b for name, child in children for b in (child if name in CHAINS else [child])]

    def _probe(self) -> tuple[list[int], list[int], list[int]]:
        """Where the pyramid's maps come from, their channels and their strides."""
        shapes = outline(self._blocks())
        sides = [shape[-1] for shape in shapes]
        # 0.75: convolutions without padding lose a few pixels, which is not yet another stride.
        shrinks = [after < 0.75 * before for before, after in pairwise(sides)]
        taps = [
            index
            for index, last in enumerate([*shrinks, True])
            if last and sides[index] < 0.75 * PROBE_PX
        ]
        chosen = [shapes[index] for index in taps]
        return taps, [shape[1] for shape in chosen], [stride_of(shape) for shape in chosen]


def build_backbone(
    name: str, *, checkpoint: str, weights: Path | None, seed: int, channels: str = "rgb"
) -> Backbone:
    """The backbone `name` with the weights that `checkpoint` means (lib/networks/checkpoints.py).

    seed: of the random initialisation, whose caller's random state is left as it was.
    channels: rgb, sobel or hed; the last two are scaled by their own mean and deviation, also
    where the weights come from RGB, because a card or ImageNet says nothing about them.
    Raises ValueError for a name without a pyramid and for weights that do not fit, and
    FileNotFoundError or ConnectionError, with the remedy, for weights that are not there.
    """
    if checkpoint == "hub":
        raise ValueError(
            f"{name} is a torchvision network, which the hub does not serve; set checkpoint to "
            "random, imagenet or the name of a file in the weights folder"
        )
    path = checkpoints.locate(name, checkpoint, weights)
    card = checkpoints.card(path) if path else {}
    google = checkpoint == "imagenet" and name in FROM_GOOGLE
    mean = card.get("mean", (0.5, 0.5, 0.5) if google else IMAGENET_MEAN)
    std = card.get("std", (0.5, 0.5, 0.5) if google else IMAGENET_STD)
    mean, std = STATISTICS.get(channels, (mean, std))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        backbone = Backbone(name, mean, std, channels)
    if checkpoint == "random":
        return backbone
    state = checkpoints.read(path) if path else _torchvision_weights(name, weights)
    # torchvision's own DenseNet files still carry names from before modules forbade dots.
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2.", key): tensor
        for key, tensor in state.items()
    }
    checkpoints.load(backbone.trunk, state, source=path or f"torchvision's {name}", heads=HEADS)
    log.info("Loaded %s into %s.", path.name if path else "torchvision's ImageNet weights", name)
    return backbone


def supported() -> list[str]:
    """Names that `build_backbone` knows, sorted."""
    return [name for name in models.list_models(module=models) if name.startswith(FAMILIES)]


def _trunk(name: str) -> nn.Module:
    """A torchvision classifier, freshly initialised, without what follows its last feature map."""
    if name not in supported():
        raise ValueError(
            f"{name} has no feature pyramid here; use one of torchvision's {', '.join(FAMILIES)} "
            "(for example resnet50)"
        )
    settings = {"init_weights": True} if name in FROM_GOOGLE else {}
    model = models.get_model(name, weights=None, **settings)
    for head in HEADS:
        if hasattr(model, head):
            delattr(model, head)
    if name.startswith("densenet"):  # its forward() ends with a ReLU that is not in its chain
        model.features.add_module("relu5", nn.ReLU())
    return model


def _torchvision_weights(name: str, weights: Path | None) -> dict[str, torch.Tensor]:
    try:
        source = models.get_model_weights(name)["IMAGENET1K_V1"]
    except KeyError as error:
        raise ValueError(f"torchvision has no ImageNet weights for {name}") from error
    try:
        # What lies in torch's cache is opened unseen: without weights_only its pickle would be run.
        return dict(source.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"The cached weights of {name} are damaged or hold Python objects besides tensors, "
            f"which are never executed here; remove {Path(source.url).name} from torch's cache "
            "(TORCH_HOME, else ~/.cache/torch/hub/checkpoints) and run again"
        ) from error
    except (URLError, OSError) as error:
        folder = weights if weights is not None else "the folder that `weights` names"
        raise ConnectionError(
            f"E_WEIGHTS: The ImageNet weights of {name} are not in the weights folder and cannot "
            f"be fetched ({error}). Fetch {source.url} where there is a network and put it in "
            f"{folder} as {name}-imagenet.pth, or set checkpoint to random"
        ) from error
