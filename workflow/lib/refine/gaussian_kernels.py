"""Gaussian kernels between all pixels of a tile, as plain matrices, on a grid on which they fit."""

import torch

SIDE = 56  # px at most: kernels of 3136 x 3136 are 39 MB


def grid_side(side: int) -> int:
    """Cells along a tile of `side` px, so few that its kernels fit."""
    return -(-side // -(-side // SIDE))


def places(maps: torch.Tensor) -> torch.Tensor:
    """Row and column (h w, 2) of every pixel of maps (..., h, w), of their kind."""
    sides = (torch.arange(side, device=maps.device) for side in maps.shape[-2:])
    return torch.stack(torch.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 2).to(maps)


def gaussian_kernel(features: torch.Tensor) -> torch.Tensor:
    """exp(-d^2 / 2) (N, N) of the distances d between rows (N, D)."""
    return torch.cdist(features, features).square_().mul_(-0.5).exp_()
