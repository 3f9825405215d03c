"""Where in a tile a score comes from, pixel by pixel: saliency, guided backpropagation, occlusion.

A class activation map says where a class is in the last feature map; these look at the tile, and
leave the network as it is. Written from the papers; saliency is that of grabcut.py.

`score` takes tiles (B, 3, t, t), RGB in 0..1, and gives (B,), each of its own tile alone. In the
papers it is a class's logit, or its probability. The log odds have the faults of neither: what all
logits share decides nothing and is not in them, and they do not saturate where a network is sure.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from workflow.lib.evidence.grabcut import saliency

Score = Callable[[torch.Tensor], torch.Tensor]
# What modules and functions named ReLU end in; ReLU6 is a hardtanh from 0 to 6.
RECTIFIERS = {functional.relu, functional.relu6, functional.hardtanh}
RECTIFIERS |= {torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_}


class Attributions(NamedTuple):
    """Maps of a tile, float32: (t, t), (3, t, t) or None where there is no ReLU, and (t, t)."""

    saliency: np.ndarray
    guided: np.ndarray | None
    occlusion: np.ndarray


def log_odds(logits: torch.Tensor, of: int) -> torch.Tensor:
    """log(p / (1 - p)) of class `of`, p its softmax of logits (B, C), C of 2 or more: (B,)."""
    others = [index for index in range(logits.shape[1]) if index != of]
    return logits[:, of] - torch.logsumexp(logits[:, others], dim=1)


def attribute(tile: torch.Tensor, score: Score, *, occlusion_px: int, batch: int) -> Attributions:
    """What each of the three says of a tile (3, t, t); squares move by half of `occlusion_px`."""
    guided = guided_backprop(tile[None], score)
    step_px = max(1, occlusion_px // 2)
    fall = occlude(tile, score, side_px=occlusion_px, step_px=step_px, batch=batch)
    return Attributions(
        saliency(tile[None], lambda tiles: score(tiles)[:, None])[0, 0].cpu().numpy(),
        None if guided is None else guided[0].cpu().numpy(),
        fall.cpu().numpy(),
    )


def guided_backprop(tiles: torch.Tensor, score: Score) -> torch.Tensor | None:
    """Gradients (B, 3, t, t) of the score, of which every ReLU passes on what is positive.

    Springenberg et al., Striving for Simplicity, ICLR workshop 2015: a ReLU lets through what is
    above 0 both forwards and backwards, R_l = (x_l > 0) (R_l+1 > 0) R_l+1. Calls are watched
    and not modules, so that no ReLU is missed and none is changed.
    None where there is no ReLU: it would be the plain gradient.
    """
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller's mode
        leaf = tiles.clone().requires_grad_()
        with _Guide() as guide:
            scores = score(leaf)
        if not guide.met:
            return None
        return torch.autograd.grad(scores.sum(), leaf)[0]


@torch.inference_mode()
def occlude(
    tile: torch.Tensor, score: Score, *, side_px: int, step_px: int, batch: int
) -> torch.Tensor:
    """By how much the score falls where a square hides the tile (3, t, t): (t, t) float32.

    Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014. The square of
    `side_px` moves by `step_px`, and the last one ends with the tile; a pixel has the mean of the
    squares that hide it. Above 0, what is hidden speaks for the class. The published square is
    grey; this one has the tile's mean colour, because in stained tissue grey is an object.
    batch: squares in a pass.
    """
    side = tile.shape[-1]
    starts = sorted({*range(0, side - side_px, step_px), side - side_px})
    corners = [(y, x) for y in starts for x in starts]
    fill, whole = tile.mean(dim=(1, 2))[:, None, None], score(tile[None])[0].float()
    total, count = (torch.zeros(side, side, device=tile.device) for _ in range(2))
    for first in range(0, len(corners), batch):
        part = corners[first : first + batch]
        hidden = tile.repeat(len(part), 1, 1, 1)
        for one, (y, x) in zip(hidden, part, strict=True):
            one[:, y : y + side_px, x : x + side_px] = fill
        for (y, x), fall in zip(part, whole - score(hidden).float(), strict=True):
            total[y : y + side_px, x : x + side_px] += fall
            count[y : y + side_px, x : x + side_px] += 1
    return total / count


class _Guide(TorchFunctionMode):
    """Watches for ReLUs, and has gradients below 0 stopped at what they give."""

    met = False

    def __torch_function__(
        self, func: Callable, types: Sequence, args: Sequence = (), kwargs: Mapping | None = None
    ) -> object:
        found = func(*args, **(kwargs or {}))
        if func in RECTIFIERS:
            self.met = True
            found.register_hook(lambda gradient: gradient.clamp(min=0))
        return found
