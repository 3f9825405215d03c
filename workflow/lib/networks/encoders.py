"""Tile encoders: one row of features for each tile, from torchvision, timm or the hub.

An encoder is frozen. Its `tile_px` and `mpp` say which tiles it was made for (None: any), and it
normalises its input itself.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import timm
import torch
from timm.data import resolve_model_data_config
from timm.layers import SwiGLUPacked
from torch import nn

from workflow.lib.networks import checkpoints
from workflow.lib.networks.backbones import Normalise, build_backbone, supported
from workflow.lib.networks.forward import Forward
from workflow.lib.tiles.inference import infer

log = logging.getLogger(__name__)

SWIGLU = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU}
# Hub encoders whose published way of loading needs more than their name. All take 224 px tiles.
# mpp: what they were trained at; None for Virchow2, which saw 5x to 40x.
HUB = {
    "MahmoodLab/UNI": ({"init_values": 1e-5, "dynamic_img_size": True}, 0.5),
    "MahmoodLab/UNI2-h": (
        {
            "img_size": 224,
            "patch_size": 14,
            "depth": 24,
            "num_heads": 24,
            "init_values": 1e-5,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "no_embed_class": True,
            "reg_tokens": 8,
            "dynamic_img_size": True,
            **SWIGLU,
        },
        0.5,
    ),
    "paige-ai/Virchow2": (SWIGLU, None),
    "bioptimus/H-optimus-0": ({"init_values": 1e-5, "dynamic_img_size": False}, 0.5),
    "bioptimus/H-optimus-1": ({"init_values": 1e-5, "dynamic_img_size": False}, 0.5),
}


class Encoder(nn.Module):
    """Features (B, D) of tiles (B, 3, t, t): uint8, or float in 0..1.

    body: normalises, encodes, and gives (B, D), a feature map (B, D, h, w), which is averaged,
    or tokens (B, T, C), of which the first `prefix` are not patches: their first, the class
    token, is put beside the mean of the patches (D = 2 C), as Virchow2 asks.
    """

    def __init__(
        self,
        name: str,
        body: nn.Module,
        *,
        dim: int,
        prefix: int = 1,
        tile_px: int | None = None,
        mpp: float | None = None,
    ) -> None:
        super().__init__()
        self.name, self.body, self.dim, self.prefix = name, body, dim, prefix
        self.tile_px, self.mpp = tile_px, mpp

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        if tiles.dtype == torch.uint8:
            tiles = tiles.float() / 255.0
        if self.tile_px is not None and tiles.shape[-1] != self.tile_px:
            raise ValueError(
                f"E_FIT: {self.name} takes tiles of {self.tile_px} px, not {tiles.shape[-1]} px"
            )
        return _pool(self.body(tiles), self.prefix)


def _pool(output: torch.Tensor, prefix: int) -> torch.Tensor:
    if output.ndim == 4:
        return output.mean(dim=(2, 3))
    if output.ndim == 3:
        return torch.cat([output[:, 0], output[:, prefix:].mean(dim=1)], dim=1)
    return output


def build_encoder(name: str, *, checkpoint: str, weights: Path | None, seed: int) -> Encoder:
    """The encoder `name`, frozen: a torchvision backbone, a timm model or `hf-hub:owner/model`.

    checkpoint: see lib/networks/checkpoints.py; `hub` fetches what timm or the hub holds under
    the encoder's own name. Raises ValueError for an unknown name, FileNotFoundError or
    ConnectionError, with the remedy, for weights that are not there.
    """
    if name in supported():
        backbone = build_backbone(name, checkpoint=checkpoint, weights=weights, seed=seed)
        path = checkpoints.locate(name, checkpoint, weights)
        card = checkpoints.card(path) if path else {}
        encoder = Encoder(
            name,
            backbone,
            dim=backbone.channels[-1],
            tile_px=card.get("tile_px"),
            mpp=card.get("mpp"),
        )
    elif name.startswith("hf-hub:") or timm.is_model(name):
        encoder = _timm_encoder(name, checkpoint, weights, seed)
    else:
        raise ValueError(
            f"There is no encoder {name!r}: give a torchvision backbone (resnet50), a timm model "
            "(vit_small_patch16_224) or hf-hub:owner/model"
        )
    return encoder.requires_grad_(False).eval()


def extract(
    forward: Forward,
    read: Callable[[Sequence[int]], np.ndarray],
    count: int,
) -> Iterator[np.ndarray]:
    """Features (B, D) float32 of tiles 0 .. count - 1, batch by batch, in order.

    forward: of an Encoder, in its batches and on its device
    read(indices) gives the tiles (B, t, t, 3) uint8.

    Raises ValueError naming the first tile whose features are not finite.
    """
    size = {"batch": forward.batch, "device": forward.device}
    for rows, features in infer(forward, read, count, **size):
        broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(broken):
            raise ValueError(
                f"E_NUMBER: {forward.network.name} gives features that are not finite (NaN or "
                f"infinite) for tile {rows.start + broken[0]}; set extract_features.precision to "
                "fp32, or choose another checkpoint"
            )
        yield features


def _timm_encoder(name: str, checkpoint: str, weights: Path | None, seed: int) -> Encoder:
    if checkpoint == "imagenet":
        raise ValueError(
            f"{name} is a timm model; set checkpoint to hub for the weights that timm publishes "
            "for it, to random, or to the name of a file in the weights folder"
        )
    path = checkpoints.locate(name, checkpoint, weights)
    card = checkpoints.card(path) if path else {}
    settings, mpp = HUB.get(name.removeprefix("hf-hub:").split("@")[0], ({}, None))
    if "tile_px" in card:
        settings = settings | {"img_size": card["tile_px"]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _create(name, pretrained=checkpoint == "hub", **settings)
    if path:
        head = model.pretrained_cfg.get("classifier") or "head"
        heads = {part.split(".")[0] for part in ([head] if isinstance(head, str) else head)}
        checkpoints.load(model, checkpoints.read(path), source=path, heads=heads)
    config = resolve_model_data_config(model)
    side = card.get("tile_px", config["input_size"][-1])
    fixed = "tile_px" in card or mpp is not None or model.pretrained_cfg.get("fixed_input_size")
    body = nn.Sequential(
        Normalise(card.get("mean", config["mean"]), card.get("std", config["std"])), model
    ).eval()
    prefix = getattr(model, "num_prefix_tokens", 1)
    with torch.no_grad():  # what comes out is the one sure answer to how wide it is
        dim = _pool(body(torch.zeros(1, 3, side, side)), prefix).shape[1]
    return Encoder(
        name,
        body,
        dim=dim,
        prefix=prefix,
        tile_px=side if fixed else None,
        mpp=card.get("mpp", mpp),
    )


def _create(name: str, *, pretrained: bool, **settings: object) -> nn.Module:
    """timm.create_model, with a sentence for every way in which the hub is out of reach."""
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **settings)
    except (OSError, RuntimeError) as error:  # the hub's errors are OSErrors
        if not pretrained and not name.startswith("hf-hub:"):
            raise
        raise ConnectionError(
            f"E_WEIGHTS: The encoder {name} cannot be fetched from the Hugging Face hub "
            f"({str(error).splitlines()[0]}). If it is gated, accept its licence there and set "
            "HF_TOKEN in the environment; where there is no network, run once where there is one "
            "with HF_HOME on a shared folder, and set HF_HOME to it here"
        ) from error
