"""Two terms that NEGEV's loss can have beside its seeds; its published numbers are without them.

Regions follow the picture: the relaxed energy of a dense random field (Tang, Perazzi, Djelouah,
Ben Ayed, Schroers, Boykov: On Regularized Losses for Weakly-supervised CNN Segmentation, ECCV
2018). No side is empty: a barrier on the size of foreground and background (Kervadec, Dolz, Yuan,
Desrosiers, Granger, Ben Ayed: Constrained Deep Networks: Lagrangian Optimization via Log-Barrier
Extensions, EUSIPCO 2022). Written from the formulas.
"""

import math

import torch
from torch.nn import functional

from workflow.lib.refine.gaussian_kernels import gaussian_kernel, grid_side, places

T_START, T_GROWTH, T_MOST = 1.0, 1.01, 10.0  # of the barrier, by epoch (published values)


class Regularisers:
    """The terms that are on, each with its weight.

    crf_weight, crf_px, crf_colour: of `field_energy`; size_weight: of `size_barrier`. A weight of 0
    leaves its term out. `terms` are the names of those that are on.
    """

    def __init__(
        self,
        *,
        crf_weight: float = 0.0,
        crf_px: float | None = None,
        crf_colour: float | None = None,
        size_weight: float = 0.0,
    ) -> None:
        self.crf_weight, self.size_weight = crf_weight, size_weight
        self.deviations = {"position_px": crf_px, "colour": crf_colour}
        on = {"crf_loss": crf_weight, "size_loss": size_weight}
        self.terms = tuple(name for name, weight in on.items() if weight)

    def add(
        self,
        losses: tuple[torch.Tensor, ...],
        logits: torch.Tensor,
        tiles: torch.Tensor,
        negative: torch.Tensor,
        epoch: int,
    ) -> tuple[torch.Tensor, ...]:
        """`losses` (the total first) with the weighted terms in the total and at the end.

        logits (B, 2, h, w) float32 of RGB tiles (B, 3, h, w) in 0..1; negative (B,) bool: the tile
        is of a slide of the negative class, whose foreground has to be empty; epoch: from 0.
        """
        sides, weighted = torch.softmax(logits, dim=1), []
        if self.crf_weight:
            energy = field_energy(sides[:, 1], tiles, **self.deviations)
            weighted.append(self.crf_weight * energy.mean())
        if self.size_weight:
            weighted.append(self.size_weight * size_barrier(sides[~negative], steepness(epoch)))
        return (losses[0] + sum(weighted), *losses[1:], *weighted)


def field_energy(
    probability: torch.Tensor, tiles: torch.Tensor, *, position_px: float, colour: float
) -> torch.Tensor:
    """sum_k S_k^T W (1 - S_k) (B,) over both sides of foreground probability S (B, t, t).

    W_ij = exp(-|p_i - p_j|^2 / (2 position_px^2) - |c_i - c_j|^2 / (2 colour^2)), not normalised,
    of all pairs of pixels of RGB tiles (B, 3, t, t) in 0..1, whose colours c are taken in 0..255.
    Up to a constant that is -sum_k S_k^T W S_k, as the authors' code has it.

    It is computed exactly on a grid of at most 56 x 56 cells, of which each pair stands for the
    pairs of pixels in it, so that weights mean the same at every size of tile.
    """
    side = probability.shape[-1]
    small = grid_side(side)
    cells = functional.interpolate(probability[:, None], (small, small), mode="area")
    pictures = functional.interpolate(tiles, (small, small), mode="area") * 255
    where = places(cells) * (side / small) / position_px
    energies = []
    for cell, picture in zip(cells.flatten(1), pictures.flatten(2), strict=True):
        features = torch.cat([where, picture.T / colour], dim=1)
        energies.append(_Disagreement.apply(cell, gaussian_kernel(features)))
    return torch.stack(energies) * (side / small) ** 4


class _Disagreement(torch.autograd.Function):
    """2 s^T W (1 - s) of s (N,) and symmetric W (N, N), which is not kept: it is large."""

    @staticmethod
    def forward(ctx: object, s: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        alike, everywhere = kernel @ s, kernel.sum(1)
        ctx.save_for_backward(everywhere - 2 * alike)
        return 2 * (s @ (everywhere - alike))

    @staticmethod
    def backward(ctx: object, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (slope,) = ctx.saved_tensors
        return 2 * grad * slope, None


def size_barrier(sides: torch.Tensor, t: float) -> torch.Tensor:
    """Mean over tiles of psi_t(-size) of the foreground plus that of the background.

    sides: (B, 2, h, w) probabilities; a size is their sum, in pixels. Both have to be above 0.
    Exactly 0, with zero gradients, without a tile.
    """
    sizes = sides.sum(dim=(2, 3))
    return barrier(-sizes, t).sum() / max(len(sides), 1)


def barrier(z: torch.Tensor, t: float) -> torch.Tensor:
    """The log-barrier of z <= 0, extended so that it is defined and pushes back beyond, as z.

    psi_t(z) = -log(-z) / t where z <= -1 / t^2, else t z - log(1 / t^2) / t + 1 / t.
    """
    edge = -1 / t**2
    inside = -torch.log(-z.clamp(max=edge)) / t  # clamped: no gradient of the other branch is nan
    return torch.where(z < edge, inside, t * z - math.log(-edge) / t + 1 / t)


def steepness(epoch: int) -> float:
    """t of the barrier in `epoch`, from 0: the larger, the closer it is to a wall.

    >>> steepness(0), steepness(1), steepness(1000)
    (1.0, 1.01, 10.0)
    """
    return min(T_START * T_GROWTH**epoch, T_MOST)
