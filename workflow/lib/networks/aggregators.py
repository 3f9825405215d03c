"""Multiple-instance learning: how much each tile speaks for a slide's class.

A slide is a bag of N tiles with standardised features x_i, f_i = relu(A x_i + a), which are pooled
in one of two ways. Gated attention (Ilse, Tomczak, Welling: Attention-based Deep Multiple Instance
Learning, ICML 2018), written from the formulas:

    a_i = softmax over the tiles of  w . (tanh(V f_i) * sigmoid(U f_i))
    logits = W sum_i(a_i f_i) + b

Pooling and head are linear, so that a logit is a mean over tiles, and a tile's part in it can be
read off (additive MIL; Javed et al., NeurIPS 2022, build it in):

    e_ic = N a_i (W_c . f_i) + b_c,   the mean of e_ic over the N tiles is logit c.

Or the tiles that speak loudest (top-k instances; one of them in Campanella et al., Nature Medicine
2019), each class with a choice of its own:

    s_ic = W_c . f_i
    logit c = mean of the k largest s_ic + b_c.

Here what a tile says is its own score, e_ic = s_ic + b_c, whether it is among the k or not, and
a_i = 1 / k for the k of the class that the slide is predicted as.

A softmax does not notice a number added to all logits, so evidence and b, and with attention W, are
taken with their mean over the classes off: evidence for a class is against the other classes. W of
the top k is learnt as it is: of two classes that differ in sign alone, the k highest of the one
would be the k lowest of the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.special import softmax
from torch import nn
from torch.nn import functional

from workflow.lib.networks.saved_models import load_model, save_model

BagPooling = Literal["attention", "top_k"]
FLAT = 1e-6  # standard deviation below which a feature is the same on every tile


class Aggregator(nn.Module):
    """Class logits (C,) of a slide from the features (N, D) float32 of its tiles, N >= 1.

    classes: names in the order of the logits; dim: D; hidden: numbers that a tile becomes;
    dropout: share of them that a training step leaves out; top_tiles: k, or None for attention
    """

    def __init__(
        self,
        dim: int,
        classes: Sequence[str],
        *,
        hidden: int,
        dropout: float,
        top_tiles: int | None = None,
    ) -> None:
        super().__init__()
        self.classes, self.dim, self.hidden, self.dropout = list(classes), dim, hidden, dropout
        self.top_tiles = top_tiles
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.embed = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Dropout(dropout))
        if top_tiles is None:
            self.content, self.gate = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
            self.weigh = nn.Linear(hidden, 1, bias=False)
        self.head = nn.Linear(hidden, len(self.classes))

    def standardise(self, blocks: Iterable[np.ndarray]) -> None:
        """Take mean and spread of the features from `blocks` (B, D) of all training tiles."""
        count, total, squares = 0, np.zeros(self.dim), np.zeros(self.dim)
        for block in blocks:
            block = np.asarray(block, np.float64)
            count += len(block)
            total += block.sum(axis=0)
            squares += (block**2).sum(axis=0)
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(np.where(spread > FLAT, spread, 1)))

    def instances(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention before the softmax (N,), 0 without, and W_c . f_i (N, C)."""
        found = self.embed((features - self.mean) / self.scale)
        if self.top_tiles is not None:
            return found.new_zeros(len(found)), functional.linear(found, self.head.weight)
        gated = torch.tanh(self.content(found)) * torch.sigmoid(self.gate(found))
        weight = self.head.weight - self.head.weight.mean(dim=0)
        return self.weigh(gated)[:, 0], functional.linear(found, weight)

    @property
    def bias(self) -> torch.Tensor:
        """b (C,)."""
        return self.head.bias - self.head.bias.mean()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        attention, scores = self.instances(features)
        if self.top_tiles is not None:
            return scores.topk(min(self.top_tiles, len(scores)), dim=0).values.mean(0) + self.bias
        return torch.softmax(attention, dim=0) @ scores + self.bias

    def save(self, folder: Path, facts: dict) -> dict:
        """Write model.safetensors, and model.json with what rebuilds it and `facts`."""
        rebuilt = ("classes", "dim", "hidden", "dropout", "top_tiles")
        return save_model(
            self, folder, {**facts, **{name: getattr(self, name) for name in rebuilt}}
        )

    @classmethod
    def load(cls, folder: Path) -> "Aggregator":
        """What `save` wrote into `folder`, in evaluation (saved_models.load_model)."""

        def build(record: dict) -> "Aggregator":
            settings = {name: record[name] for name in ("hidden", "dropout", "top_tiles")}
            return cls(record["dim"], record["classes"], **settings)

        return load_model(folder, build)


@dataclass(frozen=True)
class Reading:
    """What a network makes of a slide: attention (N,), which adds up to 1, evidence (N, C) and the
    logits (C,), with attention its mean; float64. Without a tile the logits are the bias alone."""

    attention: np.ndarray
    evidence: np.ndarray
    logits: np.ndarray


def read_slide(model: Aggregator, blocks: Iterable[np.ndarray], *, device: torch.device) -> Reading:
    """The reading of the tiles of a slide from `blocks` (B, D) of their features.

    Of all tiles, memory holds 1 + C numbers each; features are held block by block.
    """
    raw, scores = [np.zeros(0)], [np.zeros((0, len(model.classes)))]
    with torch.inference_mode():
        for block in blocks:
            found = model.instances(torch.from_numpy(block).to(device))
            for part, tensor in zip((raw, scores), found, strict=True):
                part.append(tensor.cpu().numpy().astype(np.float64))
        bias = model.bias.cpu().numpy().astype(np.float64)
    raw, scores = np.concatenate(raw), np.concatenate(scores)
    if model.top_tiles is not None and len(raw):
        return _read_top(scores, bias, min(model.top_tiles, len(raw)))
    attention = softmax(raw) if len(raw) else raw
    evidence = len(raw) * attention[:, None] * scores + bias
    return Reading(attention, evidence, attention @ scores + bias)


def _read_top(scores: np.ndarray, bias: np.ndarray, count: int) -> Reading:
    """The reading of scores (N, C) of which the `count` highest of each class decide."""
    order = np.argsort(-scores, axis=0, kind="stable")[:count]
    logits = np.take_along_axis(scores, order, axis=0).mean(axis=0) + bias
    attention = np.zeros(len(scores))
    attention[order[:, logits.argmax()]] = 1 / count
    return Reading(attention, scores - scores.mean(axis=1, keepdims=True) + bias, logits)
