"""Elastic deformation: tiles bent as tissue bends, the truth with them.

Ronneberger et al., MICCAI 2015: random displacement vectors on a coarse grid, and from them the
displacement of every pixel by bicubic interpolation.
"""

from typing import Literal

import torch
from torch.nn import functional

NODES = 3  # of the coarse grid along each axis: corners, middles of the sides, the centre


def draw_displacement(
    count: int, side: int, sd_px: float, *, generator: torch.Generator
) -> torch.Tensor:
    """Displacements (count, 2, side, side) in px, (y, x): normal with `sd_px` at the nodes."""
    nodes = sd_px * torch.randn(count, 2, NODES, NODES, generator=generator)
    return functional.interpolate(nodes, size=(side, side), mode="bicubic", align_corners=True)


def deform(
    maps: torch.Tensor, displacement: torch.Tensor, mode: Literal["bilinear", "nearest"]
) -> torch.Tensor:
    """Maps (B, C, t, t) whose pixel (y, x) is what was `displacement` (B, 2, t, t) away from it.

    What lies beyond the edge is mirrored. mode: bilinear for colours, nearest for labels.
    """
    side = maps.shape[-1]
    steps = torch.arange(side, device=maps.device, dtype=maps.dtype)
    y, x = displacement.to(maps.device, maps.dtype).unbind(1)
    places = torch.stack([steps + x, steps[:, None] + y], dim=-1)  # grid_sample has x first
    places = (places + 0.5) * (2 / side) - 1  # the edges of the outermost pixels are -1 and 1
    return functional.grid_sample(
        maps, places, mode=mode, padding_mode="reflection", align_corners=False
    )
