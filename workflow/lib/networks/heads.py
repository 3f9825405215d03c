"""Heads: from the last feature map of a tile to evidence at every location, and to class scores.

A head is a module with two methods. `evidence` gives what speaks for each class at each location
(B, C, h, w), bias included: the class activation map. `logits` pools it into scores (B, C), and
is what is trained. Which locations have to speak up for a class depends on the pooling: all of
them (gap), one (max), and between the two (lse, wildcat, attention).

Features are (B, D, h, w) of any float type; N = h w locations.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

Pooling = Literal["gap", "max", "lse", "wildcat", "attention"]
UNITS = 128  # of the attention, as published


class Gap(nn.Linear):
    """A linear head after global average pooling (Zhou et al., CVPR 2016).

    Both are linear, so the logit is the mean of the evidence.
    """

    def evidence(self, features: torch.Tensor) -> torch.Tensor:
        """Evidence (B, C, h, w): the head at every location."""
        return functional.conv2d(features, self.weight[:, :, None, None], self.bias)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Scores (B, C)."""
        return self(features.mean(dim=(2, 3)))


class Max(Gap):
    """The location with the most evidence speaks for the tile (Oquab et al., CVPR 2015)."""

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Scores (B, C): the highest evidence."""
        return self.evidence(features).amax(dim=(2, 3))


class LogSumExp(Gap):
    """A soft maximum: log(mean(exp(r z))) / r of evidence z (Pinheiro & Collobert, CVPR 2015).

    sharpness: r, above 0; towards 0 it is the mean, towards infinity the maximum.
    """

    def __init__(self, dim: int, classes: int, *, sharpness: float) -> None:
        super().__init__(dim, classes)
        self.sharpness = sharpness

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Scores (B, C), computed in float32: r z may be beyond what float16 can hold."""
        found = self.evidence(features).flatten(2)
        total = torch.logsumexp(self.sharpness * found.float(), dim=2)
        return ((total - math.log(found.shape[2])) / self.sharpness).to(found.dtype)


class Wildcat(nn.Module):
    """The mean of the k highest, plus alpha times that of the k lowest evidence.

    WILDCAT (Durand et al., CVPR 2017): a class is spoken for by its best regions, and spoken
    against by its worst. Every class has several maps, whose mean is its evidence.

    maps: of a class
    share: k / N; k is the nearest whole number and at least one
    alpha: weight of the lowest
    """

    def __init__(self, dim: int, classes: int, *, maps: int, share: float, alpha: float) -> None:
        super().__init__()
        self.maps = Gap(dim, classes * maps)
        self.shape, self.share, self.alpha = (classes, maps), share, alpha

    def evidence(self, features: torch.Tensor) -> torch.Tensor:
        """Evidence (B, C, h, w): the mean of the maps of a class."""
        return self.maps.evidence(features).unflatten(1, self.shape).mean(dim=2)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Scores (B, C)."""
        found = self.evidence(features).flatten(2).sort(dim=2).values
        count = max(1, round(self.share * found.shape[2]))
        lowest, highest = found[:, :, :count], found[:, :, -count:]
        return highest.mean(dim=2) + self.alpha * lowest.mean(dim=2)


class Attention(nn.Module):
    """Gated attention over locations (Ilse et al., ICML 2018; DeepMIL), one for all classes.

    Location i weighs a_i = softmax_i(w . (tanh(V f_i) * sigmoid(U f_i))); the logit is linear in
    the weighted mean of the features. Evidence is what a location adds to it, N times, so that
    the logit is the mean of the evidence.
    """

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.content = nn.Linear(dim, UNITS, bias=False)
        self.gate = nn.Linear(dim, UNITS, bias=False)
        self.importance = nn.Linear(UNITS, 1, bias=False)
        self.classes = Gap(dim, classes)

    def weights(self, features: torch.Tensor) -> torch.Tensor:
        """Weights (B, h, w) float32 of locations; those of a tile sum to one."""
        rows = features.permute(0, 2, 3, 1)
        gated = torch.tanh(self.content(rows)) * torch.sigmoid(self.gate(rows))
        found = self.importance(gated)[..., 0].float()
        return found.flatten(1).softmax(dim=1).view_as(found)

    def evidence(self, features: torch.Tensor) -> torch.Tensor:
        """Evidence (B, C, h, w): N a_i W f_i + b."""
        share = self.weights(features) * features.shape[2:].numel()
        return self.classes.evidence(features * share[:, None].to(features.dtype))

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Scores (B, C): W (sum of a_i f_i) + b."""
        weights = self.weights(features).to(features.dtype)
        return self.classes((features * weights[:, None]).sum(dim=(2, 3)))


HEADS = {"gap": Gap, "max": Max, "lse": LogSumExp, "wildcat": Wildcat, "attention": Attention}


def build_head(pooling: str, dim: int, classes: int, settings: Mapping) -> nn.Module:
    """The head of `pooling` for features of `dim` channels; `settings` are its keywords.

    Raises ValueError for a pooling that is not known.
    """
    if pooling not in HEADS:
        raise ValueError(f"There is no pooling {pooling!r}; use one of {', '.join(HEADS)}")
    return HEADS[pooling](dim, classes, **settings)
