"""Backbones with a finer last feature map: dilation in place of strides, the weights as they were.

Where a stride of 2 becomes 1, every later kernel sees a map twice as dense. Dilated by 2 it finds
its pixels where they were, so that weights learnt with the stride keep their meaning, and the old
map is every second location of the new one (Yu, Koltun & Funkhouser, CVPR 2017).
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

PROBE_PX = 256  # a side at which every stride of every family is plain to see
# Backbones whose kernels are all modules that can be dilated, and that pool nothing over the map.
DILATABLE = (
    "alexnet",
    "mnasnet",
    "mobilenet_v2",
    "regnet_x",
    "resnet",
    "resnext",
    "shufflenet",
    "squeezenet",
    "vgg",
    "wide_resnet",
)


@torch.no_grad()
def outline(blocks: Sequence[nn.Module]) -> list[torch.Size]:
    """Shapes (0, C, h, w) after each of a chain of blocks, for tiles of PROBE_PX.

    Found with a batch of no tile, which costs nothing; modes stay as they were.
    """
    features, shapes = torch.zeros(0, 3, PROBE_PX, PROBE_PX), []
    for block in blocks:
        mode = block.training
        features = block.eval()(features)
        block.train(mode)
        shapes.append(features.shape)
    return shapes


def stride_of(shape: Sequence[int]) -> int:
    """Pixels of a tile of PROBE_PX per pixel of a map (..., h, w), to the nearest power of two."""
    return 2 ** round(math.log2(PROBE_PX / shape[-1]))


def dilate(name: str, blocks: Sequence[nn.Module], stride: int) -> None:
    """Let no map of the backbone `name`, a chain of `blocks`, be coarser than `stride`, in place.

    A stride that would pass it becomes 1, and what comes after is dilated. Convolutions keep their
    padding in units of what they see. A pooling is padded evenly on both sides to keep the size of
    the map, as far as torch pads it (half a kernel); else the map loses a pixel or two and stays
    centred on the tile.

    Raises ValueError, naming backbones that can, when this is not well defined for `name`.
    """
    seen: dict[nn.Module, tuple[int, int]] = {}

    def note(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        seen[module] = stride_of(inputs[0].shape), stride_of(output.shape)

    modules = [module for block in blocks for module in block.modules()]
    kernels = [module for module in modules if isinstance(module, nn.Conv2d | nn.MaxPool2d)]
    handles = [module.register_forward_hook(note) for module in kernels]
    coarsest = stride_of(outline(blocks)[-1])
    for handle in handles:
        handle.remove()
    if coarsest <= stride:
        return
    if not name.startswith(DILATABLE):
        raise ValueError(
            f"{name} cannot have a last feature map of stride {stride}: its strides (down to "
            f"{coarsest}) cannot be replaced by dilation; set stride to null, or use one of "
            f"torchvision's {', '.join(DILATABLE)}"
        )
    for module, (before, after) in seen.items():
        if after > stride:
            spread = max(before // stride, 1)
            (_dilate_convolution if isinstance(module, nn.Conv2d) else _dilate_pooling)(
                module, spread, min(after, stride) // min(before, stride)
            )


def _dilate_convolution(module: nn.Conv2d, spread: int, step: int) -> None:
    module.stride = (step, step)
    module.dilation = tuple(spread * old for old in module.dilation)
    module.padding = tuple(spread * old for old in module.padding)


def _dilate_pooling(module: nn.MaxPool2d, spread: int, step: int) -> None:
    module.stride, module.dilation = step, spread * module.dilation
    beyond = (module.kernel_size - 1) * module.dilation  # what it sees beside one pixel
    module.padding = min(beyond // 2, module.kernel_size // 2)
