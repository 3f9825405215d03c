"""The classical pixel classifier: a support vector machine on 24 features of a pixel.

Iftikhar and Godil 2013; K(x, x') = exp(-gamma |x - x'|^2). It needs pixel labels: a comparison
that every network has to beat. Nothing is pickled, and nothing but torch is needed to use it.
"""

from pathlib import Path

import torch
from torch import nn

from workflow.lib.networks.saved_models import load_model, save_model
from workflow.lib.refine.pixel_features import COUNT, describe_pixels

PIXELS = 256  # that are compared with all support vectors at a time, while these are in the cache


class PixelSvm(nn.Module):
    """Foreground probability of every pixel of RGB tiles.

    vectors, dual: support vectors (S, 24), scaled, and their signed coefficients (S,)
    low, high: (24,), of the features on training pixels; they are what -1 and +1 mean
    gamma, bias: of the decision, sum_s dual_s K(vector_s, x) + bias
    slope, offset: of the probability, 1 / (1 + exp(-(slope * decision + offset)))
    illumination_px: of `describe_pixels`; step_px: apart are the pixels that are looked at, along
        each axis; between them probabilities are interpolated
    """

    def __init__(
        self,
        vectors: torch.Tensor,
        dual: torch.Tensor,
        low: torch.Tensor,
        high: torch.Tensor,
        *,
        gamma: float,
        bias: float,
        slope: float,
        offset: float,
        illumination_px: float,
        step_px: int,
    ) -> None:
        super().__init__()
        tensors = {"vectors": vectors, "dual": dual, "low": low, "high": high}
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.float())
        self.numbers = {"gamma": gamma, "bias": bias, "slope": slope, "offset": offset}
        self.numbers |= {"illumination_px": illumination_px, "step_px": step_px}

    def decide(self, features: torch.Tensor) -> torch.Tensor:
        """Decision values (n,) of features (n, 24) as `describe_pixels` gives them."""
        gamma = self.numbers["gamma"]
        scaled = scale(features, self.low, self.high)
        norms = -gamma * self.vectors.square().sum(dim=1)
        own = -gamma * scaled.square().sum(dim=1, keepdim=True)
        # -gamma |x - x'|^2 as one product: of (x, -gamma |x|^2, 1) with (2 gamma x', 1, ...)
        left = torch.cat([scaled, own, torch.ones_like(own)], dim=1)
        right = torch.stack([*(2 * gamma * self.vectors).T, torch.ones_like(norms), norms])
        kernels = ((part @ right).clamp_max_(0).exp_() for part in left.split(PIXELS))
        return torch.cat([kernel @ self.dual for kernel in kernels]) + self.numbers["bias"]

    def probability(self, tiles: torch.Tensor) -> torch.Tensor:
        """Foreground probability (B, H, W) of RGB tiles (B, 3, H, W) float in 0..1."""
        step = self.numbers["step_px"]
        features = describe_pixels(tiles, illumination_px=self.numbers["illumination_px"])
        seen = features[..., step // 2 :: step, step // 2 :: step].movedim(1, -1)
        decisions = self.decide(seen.reshape(-1, COUNT)).view(seen.shape[:-1])
        found = torch.sigmoid(self.numbers["slope"] * decisions + self.numbers["offset"])
        down, across = (_between(side, step).to(found) for side in tiles.shape[-2:])
        return down @ found @ across.T

    def save(self, folder: Path, facts: dict) -> None:
        """Write model.safetensors, and model.json with `facts`."""
        save_model(self, folder, {**facts, "numbers": self.numbers, "vectors": len(self.vectors)})


def load_svm(folder: Path) -> PixelSvm:
    """What `save` wrote into `folder`; raises ValueError, naming the file, when it is damaged."""

    def build(record: dict) -> PixelSvm:
        count = record["vectors"]
        empty = [torch.empty(shape) for shape in ((count, COUNT), (count,), (COUNT,), (COUNT,))]
        return PixelSvm(*empty, **record["numbers"])

    return load_model(folder, build)


def scale(features: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Features (n, 24) with `low` as -1 and `high` as +1; one that never differed is 0."""
    span = high - low
    middle = (high + low) / 2
    return torch.where(span > 0, 2 * (features - middle) / span.where(span > 0, 1), 0)


def _between(side: int, step: int) -> torch.Tensor:
    """Weights (side, n) of every step-th pixel of a line in each of its pixels: linear between."""
    places = torch.arange(step // 2, side, step)
    where = (torch.arange(side) - step // 2).clamp(0, step * (len(places) - 1)) / step
    before = where.floor().long()
    after = (before + 1).clamp_max(len(places) - 1)
    weights = torch.zeros(side, len(places), dtype=torch.float64)
    weights.scatter_add_(1, before[:, None], (1 - where + before)[:, None].double())
    weights.scatter_add_(1, after[:, None], (where - before)[:, None].double())
    return weights
