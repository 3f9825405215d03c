"""What a network sees of a tile: its colours, its edges or its stains, as three channels."""

import torch
from torch import nn

from workflow.lib.tiles.augmentation import LUMA

DARKEST = 1 / 255  # of the light; below the darkest grey level a logarithm tells nothing
FLAT = 1e-12  # under the root, whose slope at 0 is infinite
# Optical density of each stain in R, G and B (Ruifrok & Johnston, 2001): a row a stain.
STAINS = torch.tensor(
    [
        [0.65, 0.70, 0.29],  # haematoxylin
        [0.07, 0.99, 0.11],  # eosin
        [0.27, 0.57, 0.78],  # DAB; without it what the other two leave unexplained
    ],
    dtype=torch.float64,
)
# Mean and standard deviation of the three channels on H&E, measured on 938 tiles of 95 images.
STATISTICS = {
    "sobel": ((0.0, 0.0, 0.095), (0.09, 0.09, 0.085)),
    "hed": ((0.35, 0.45, 0.17), (0.35, 0.35, 0.13)),
}


class Channels(nn.Module):
    """A fixed map of RGB tiles (B, 3, H, W), float in 0..1, to three channels, in float32.

    kind: rgb changes nothing, sobel is `edges`, hed is `stains`.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        if kind not in ("rgb", *STATISTICS):
            raise ValueError(f"channels is {kind!r}; write rgb, sobel or hed")
        self.kind = kind

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        if self.kind == "rgb":
            return tiles
        # Differences and logarithms of bfloat16 numbers would be those of their rounding.
        with torch.autocast(tiles.device.type, enabled=False):
            return (edges if self.kind == "sobel" else stains)(tiles.float())


def edges(tiles: torch.Tensor) -> torch.Tensor:
    """Sobel derivatives of the grey tile along x and y, and their length: (B, 3, H, W).

    The derivatives lie in -1..1: next to a step from black to white they are 1. Beyond the border
    lie the pixels of the border.
    """
    grey = (tiles * LUMA.to(tiles.device)[:, None, None]).sum(dim=1)
    # Not a padding mode of torch, whose gradient is not deterministic on a GPU.
    grey = torch.cat([grey[:, :1], grey, grey[:, -1:]], dim=1)
    grey = torch.cat([grey[:, :, :1], grey, grey[:, :, -1:]], dim=2)
    rows = (grey[:, :-2] + 2 * grey[:, 1:-1] + grey[:, 2:]) / 4
    columns = (grey[:, :, :-2] + 2 * grey[:, :, 1:-1] + grey[:, :, 2:]) / 4
    along_x, along_y = rows[:, :, 2:] - rows[:, :, :-2], columns[:, 2:] - columns[:, :-2]
    length = (along_x.square() + along_y.square() + FLAT).sqrt()
    return torch.stack([along_x, along_y, length], dim=1)


def stains(tiles: torch.Tensor) -> torch.Tensor:
    """Amounts of haematoxylin, eosin and the rest, (B, 3, H, W), none below 0.

    Colour deconvolution (Ruifrok & Johnston, Anal Quant Cytol Histol 2001): the natural optical
    density of R, G and B as a sum of the three stains'. Dense nuclei have about 1 of haematoxylin.
    """
    unmix = torch.linalg.inv(STAINS).to(tiles.device, torch.float32)
    density = -tiles.clamp(min=DARKEST).log()
    return torch.einsum("bchw,cs->bshw", density, unmix).clamp(min=0)
