"""Tile encoders that timm builds, with its own weights, a file's or those of the hub."""

from pathlib import Path

import timm
import torch
from timm.data import resolve_model_data_config
from timm.layers import SwiGLUPacked
from torch import nn

from workflow.lib.networks import checkpoints
from workflow.lib.networks.backbones import Normalise
from workflow.lib.networks.encoders import Encoder, pool

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


def build_timm_encoder(name: str, *, checkpoint: str, weights: Path | None, seed: int) -> Encoder:
    """The encoder `name`: a timm model or `hf-hub:owner/model`; see encoders.build_encoder."""
    if not (name.startswith("hf-hub:") or timm.is_model(name)):
        raise ValueError(
            f"There is no encoder {name!r}: give a torchvision backbone (resnet50), a timm model "
            "(vit_small_patch16_224) or hf-hub:owner/model"
        )
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
        dim = pool(body(torch.zeros(1, 3, side, side)), prefix).shape[1]
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
