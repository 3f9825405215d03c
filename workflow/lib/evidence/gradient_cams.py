"""Class activation maps from gradients and scores: Grad-CAM and what came after it.

Every function takes the last feature map A (B, D, h, w) of a backbone and the part of the network
behind it, as a function from A to logits (B, C), and gives maps (B, C, h, w), 0 or more, of all
classes at once. The backbone has run once, without gradients: only the head is differentiated,
which costs next to nothing. Smooth Grad-CAM++ and Score-CAM need further passes.

Written from the formulas. torchcam 0.5 is the reference of the tests instead: it hooks a whole
network and its graph, gives one class a call, draws noise from the global generator, scores every
channel anew for every class, scales each map by itself, and its Grad-CAM++ leaves out the division
in alpha (it divides a copy).

Gradients are multiplied by h w here, the number of locations. With a head that averages, the
gradient is then the weight of its linear layer whatever the size of the map, so that maps of
several sizes can be averaged, and float16 holds them. The published maps are these, divided by
h w; Grad-CAM++ and Score-CAM are the same.
"""

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

Head = Callable[[torch.Tensor], torch.Tensor]
NOTHING = 1e-6  # share; a channel whose sum is smaller against its absolute sum has none


def grad_cam(features: torch.Tensor, head: Head) -> torch.Tensor:
    """ReLU(sum_k w_k A_k), w_k the mean gradient of channel k (Selvaraju et al., ICCV 2017)."""
    return _each_class(
        features,
        head,
        lambda gradient: _combine(gradient.mean(dim=(2, 3), keepdim=True), features),
    )


def grad_cam_pp(features: torch.Tensor, head: Head) -> torch.Tensor:
    """Grad-CAM++ (Chattopadhay et al., WACV 2018): w_k = sum_ij alpha_ij ReLU(g_ij).

    alpha = g^2 / (2 g^2 + sum_ab A_ab g^3) is 1 / (2 + g sum_ab A_ab), and counts where g > 0.
    The formula is made for features of 0 or more; a channel with a sum below 0 counts as empty.
    The published weights also have a factor exp(logit). It is one number a tile, which would make
    tiles of a slide incomparable; other implementations leave it out as well.
    """
    return smooth_grad_cam_pp(features, [features], head)


def smooth_grad_cam_pp(
    features: torch.Tensor, noisy: Sequence[torch.Tensor], head: Head
) -> torch.Tensor:
    """Smooth Grad-CAM++ (Omeiza et al., arXiv 1908.01224): Grad-CAM++ with gradients averaged.

    noisy: feature maps (B, D, h, w) of the same tiles with noise. g, g^2 and g^3 are each averaged
    over them, before ReLU and alpha; A is that of the tiles without noise. Where the gradient does
    not depend on the tile, as behind a head that averages, this is Grad-CAM++.
    """
    mass = features.mean(dim=(2, 3), keepdim=True).clamp(min=0)  # with g times h w: the same

    def weigh(*gradients: torch.Tensor) -> torch.Tensor:
        count = len(gradients)
        first, second, third = (sum(g**power for g in gradients) / count for power in (1, 2, 3))
        below = 2 * second + mass * third
        alpha = torch.where(below > 0, second / below.where(below > 0, 1), 0)
        return _combine((alpha * first.relu()).mean(dim=(2, 3), keepdim=True), features)

    return _each_class(noisy, head, weigh)


def x_grad_cam(features: torch.Tensor, head: Head) -> torch.Tensor:
    """XGrad-CAM (Fu et al., BMVC 2020): w_k = sum_ij g_ij A_ij / sum_ij A_ij.

    Where the gradient of a channel is the same everywhere, as behind a head that averages, this is
    Grad-CAM; it is taken as such for a channel that sums up to nothing.
    """
    total = features.sum(dim=(2, 3), keepdim=True)
    known = total.abs() > NOTHING * features.abs().sum(dim=(2, 3), keepdim=True)

    def weigh(gradient: torch.Tensor) -> torch.Tensor:
        own = (gradient * features).sum(dim=(2, 3), keepdim=True) / total.where(known, 1)
        weights = torch.where(known, own, gradient.mean(dim=(2, 3), keepdim=True))
        return _combine(weights, features)

    return _each_class(features, head, weigh)


def layer_cam(features: torch.Tensor, head: Head) -> torch.Tensor:
    """ReLU(sum_k ReLU(g_k) A_k), location by location (Jiang et al., TIP 2021)."""
    return _each_class(features, head, lambda gradient: _combine(gradient.relu(), features))


def score_cam(
    tiles: torch.Tensor,
    features: torch.Tensor,
    score: Head,
    *,
    channels: int,
    fill: torch.Tensor,
) -> torch.Tensor:
    """Score-CAM (Wang et al., CVPRW 2020): a channel weighs what the network makes of its part.

    tiles: (B, 3, t, t); each is shown as often as there are `channels`, masked by a channel of its
        own that is stretched to 0..1 and upsampled, and `fill` (3, 1, 1) where the mask is 0
    score: from tiles to logits; the weights of a class are a softmax of its logits over channels
    channels: the most active ones of each tile, by their mean. The paper has them all, which is a
        pass of the network for each of 512 or 2048.
    """
    number = min(channels, features.shape[1])
    active = features.mean(dim=(2, 3)).topk(number).indices
    maps = features.gather(1, active[..., None, None].expand(-1, -1, *features.shape[2:]))
    low, high = maps.amin(dim=(2, 3), keepdim=True), maps.amax(dim=(2, 3), keepdim=True)
    masks = (maps - low) / (high - low).where(high > low, 1)
    logits = []
    for index in range(number):
        mask = functional.interpolate(
            masks[:, index : index + 1], tiles.shape[2:], mode="bilinear", align_corners=False
        )
        logits.append(score(torch.lerp(fill.expand_as(tiles), tiles, mask)))
    weights = torch.softmax(torch.stack(logits, dim=2), dim=2)
    return torch.einsum("bck,bkhw->bchw", weights, maps).relu()


def _combine(weights: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    """ReLU of the weighted sum of the channels: (B, h, w)."""
    return (weights * features).sum(dim=1).relu()


def _each_class(
    seen: torch.Tensor | Sequence[torch.Tensor],
    head: Head,
    weigh: Callable[..., torch.Tensor],
) -> torch.Tensor:
    """weigh(gradients of class c, one for each of `seen`) for every c, as (B, C, h, w).

    A tile's logits depend on its own features alone, so that one pass serves the whole batch.
    """
    seen = [seen] if isinstance(seen, torch.Tensor) else seen
    locations, maps = seen[0].shape[2] * seen[0].shape[3], []
    with torch.inference_mode(False), torch.enable_grad():  # whatever the caller's mode
        leaves = [features.clone().requires_grad_() for features in seen]
        logits = [head(leaf) for leaf in leaves]
        for index in range(logits[0].shape[1]):
            gradients = [
                locations * torch.autograd.grad(of[:, index].sum(), leaf, retain_graph=True)[0]
                for of, leaf in zip(logits, leaves, strict=True)
            ]
            with torch.no_grad():
                maps.append(weigh(*gradients))
    return torch.stack(maps, dim=1)
