"""What a pixel and its neighbours look like, in 24 numbers (Iftikhar and Godil 2013)."""

import torch
from torch.nn import functional

from workflow.lib.tiles.augmentation import LUMA

COUNT = 24  # 9 intensities, median, range, energy, 3 moments, 9 gradient magnitudes
DARKEST = 1 / 255  # of a background that is divided by


def describe_pixels(tiles: torch.Tensor, *, illumination_px: float) -> torch.Tensor:
    """Features (B, 24, H, W) of RGB tiles (B, 3, H, W) float in 0..1, not scaled.

    Of the 3 x 3 pixels round each pixel, row by row, in grey values of corrected illumination: the
    9 intensities; their median; their range; their energy, the sum of squares; their 2nd, 3rd and
    4th central moments, (1/9) sum (i - mean)^r; and at the 9 pixels the magnitude of the gradient,
    of central differences. Beyond the edge of a tile it is mirrored.
    """
    grey = torch.einsum("bchw,c->bhw", tiles, LUMA.to(tiles.device))
    grey = correct_illumination(grey, sd_px=illumination_px)
    near = _neighbours(grey)
    apart = near - near.mean(dim=1, keepdim=True)
    numbers = [
        near.median(dim=1).values,
        near.amax(dim=1) - near.amin(dim=1),
        near.square().sum(dim=1),
        *(apart.pow(power).mean(dim=1) for power in (2, 3, 4)),
    ]
    return torch.cat([near, torch.stack(numbers, dim=1), _neighbours(_gradient(grey))], dim=1)


def correct_illumination(grey: torch.Tensor, *, sd_px: float) -> torch.Tensor:
    """Grey values (B, H, W) divided by what is slow in them, and as bright on the whole as before.

    What is slow is their mean over a tile, weighted by a Gaussian of deviation `sd_px` round each
    pixel, as far as the tile reaches. 0 corrects nothing.
    """
    if sd_px == 0:
        return grey
    down, across = (_smoothing(side, sd_px).to(grey) for side in grey.shape[-2:])
    slow = (down @ grey @ across.T).clamp_min(DARKEST)
    return grey * slow.mean(dim=(1, 2), keepdim=True) / slow


def _smoothing(side: int, sd_px: float) -> torch.Tensor:
    """Weights (side, side) of every pixel of a line in the mean round each, rows adding up to 1."""
    steps = torch.arange(side, dtype=torch.float64)
    weights = torch.exp(-((steps[:, None] - steps) ** 2) / (2 * sd_px**2))
    return weights / weights.sum(dim=1, keepdim=True)


def _neighbours(grey: torch.Tensor) -> torch.Tensor:
    """The 3 x 3 pixels round each pixel, (B, H, W) -> (B, 9, H, W)."""
    around = functional.pad(grey[:, None], (1, 1, 1, 1), mode="reflect")
    return functional.unfold(around, kernel_size=3).unflatten(2, grey.shape[1:])


def _gradient(grey: torch.Tensor) -> torch.Tensor:
    around = functional.pad(grey[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
    down = (around[:, 2:, 1:-1] - around[:, :-2, 1:-1]) / 2
    across = (around[:, 1:-1, 2:] - around[:, 1:-1, :-2]) / 2
    return torch.hypot(down, across)
