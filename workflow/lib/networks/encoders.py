"""Tile encoders: one row of features for each tile, from torchvision, timm or the hub.

An encoder is frozen. Its `tile_px` and `mpp` say which tiles it was made for (None: any), and it
normalises its input itself.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from workflow.lib.networks import checkpoints
from workflow.lib.networks.backbones import build_backbone, supported
from workflow.lib.networks.forward import Forward
from workflow.lib.tiles.inference import infer


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
        return pool(self.body(tiles), self.prefix)


def pool(output: torch.Tensor, prefix: int) -> torch.Tensor:
    """Features (B, D) of what the body of an Encoder gives; see there."""
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
    else:  # timm takes 2 s to import
        from workflow.lib.networks.timm_encoders import build_timm_encoder

        encoder = build_timm_encoder(name, checkpoint=checkpoint, weights=weights, seed=seed)
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
