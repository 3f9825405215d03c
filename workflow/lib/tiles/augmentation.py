"""Random changes that leave the label of a tile true: where it lies and how it was stained.

Every tile of a batch is changed on its own, in a few tensor operations, so it costs as little on
a GPU as on a CPU. The random numbers come from one generator on the CPU: the same on any device.
"""

import torch
from torch.nn import functional

LUMA = torch.tensor([0.299, 0.587, 0.114])  # how bright the eye sees R, G and B (Rec. 601)
STEP_PX = 32  # what most networks shrink a tile by
HUE_SHARE = 0.1  # of the jitter's strength; hue shifts are what tells stains apart, so keep small


def augment(
    tiles: torch.Tensor,
    *,
    flips: bool,
    rotations: bool,
    crop: float,
    colour_jitter: float,
    generator: torch.Generator,
    enlarge: bool = False,
) -> torch.Tensor:
    """Augment square RGB tiles (B, 3, t, t), float in 0..1: (B, 3, s, s) in the same range.

    Further planes (B, 3 + P, t, t), such as labels, are turned and cut with their tile.
    flips: mirror left-right and up-down, each for half of the tiles
    rotations: turn by 0, 90, 180 or 270 degrees, exactly
    crop: share of the side that `cut` keeps; with 1, s is t
    enlarge: bring what is kept back to t x t (`cut_and_enlarge`)
    colour_jitter: 0..1, strength s of `jitter_colour`; 0 leaves colours alone
    """
    tiles = orient(tiles, flips=flips, rotations=rotations, generator=generator)
    tiles = (cut_and_enlarge if enlarge else cut)(tiles, crop, generator=generator)
    if colour_jitter:
        coloured = jitter_colour(tiles[:, :3], colour_jitter, generator=generator)
        tiles = torch.cat([coloured, tiles[:, 3:]], dim=1) if tiles.shape[1] > 3 else coloured
    return tiles


def orient(
    tiles: torch.Tensor, *, flips: bool, rotations: bool, generator: torch.Generator
) -> torch.Tensor:
    """Mirror and turn each tile (B, C, t, t) at random; no pixel is interpolated."""
    tiles = tiles.clone()
    if flips:
        for axis in (-1, -2):
            chosen = torch.rand(len(tiles), generator=generator) < 0.5
            tiles[chosen] = tiles[chosen].flip(axis)
    if rotations:
        turns = torch.randint(4, (len(tiles),), generator=generator)
        for quarter in (1, 2, 3):
            chosen = turns == quarter
            tiles[chosen] = tiles[chosen].rot90(quarter, (-2, -1))
    return tiles


def cut(tiles: torch.Tensor, crop: float, *, generator: torch.Generator) -> torch.Tensor:
    """A square from a random place of each tile (B, C, t, t): (B, C, s, s).

    s is `crop` times t, to a multiple of 32 px, which is what networks shrink by; 1 keeps all.
    What a network learns to expect along the border of what it sees is then not the border of a
    tile.
    """
    whole = tiles.shape[-1]
    side = min(whole, max(STEP_PX, STEP_PX * round(crop * whole / STEP_PX)))
    if crop == 1 or side == whole:
        return tiles
    return _pieces(tiles, side, generator).contiguous(memory_format=torch.channels_last)


def cut_and_enlarge(
    tiles: torch.Tensor, crop: float, *, generator: torch.Generator
) -> torch.Tensor:
    """A square of `crop` times the side, from a random place, brought back to (B, C, t, t).

    RGB is interpolated, further planes are not: a label stays a label. Networks then see a tile
    larger while they learn than when they are asked, which is what resizing to 256 px, cutting 224
    and testing at 224 comes to: a tile of 224 px and a crop of 0.875.
    """
    whole = tiles.shape[-1]
    side = min(whole, max(1, round(crop * whole)))
    if side == whole:
        return tiles
    pieces = _pieces(tiles, side, generator)
    sized = {"size": (whole, whole)}
    image = functional.interpolate(pieces[:, :3], **sized, mode="bilinear", align_corners=False)
    if tiles.shape[1] > 3:
        planes = functional.interpolate(pieces[:, 3:], **sized, mode="nearest-exact")
        image = torch.cat([image, planes], dim=1)
    return image.contiguous(memory_format=torch.channels_last)


def _pieces(tiles: torch.Tensor, side: int, generator: torch.Generator) -> torch.Tensor:
    """A square of `side` px from a random place of each tile."""
    places = tiles.shape[-1] - side + 1
    corners = torch.randint(places, (len(tiles), 2), generator=generator).tolist()
    return torch.stack(
        [tile[:, y : y + side, x : x + side] for tile, (y, x) in zip(tiles, corners, strict=True)]
    )


def jitter_colour(
    tiles: torch.Tensor, strength: float, *, generator: torch.Generator
) -> torch.Tensor:
    """Change brightness, contrast, saturation and hue of each tile (B, 3, t, t) at random.

    Brightness, contrast and saturation are scaled by 1 - strength .. 1 + strength as torchvision
    does; hue turns by up to 0.1 * strength of the colour circle either way (0.5 gives the
    ColorJitter(.5, .5, .5, .05) of NEGEV). All four together are one affine map of RGB per tile.
    """
    draws = torch.rand(len(tiles), 4, generator=generator) * 2 - 1
    brightness, contrast, saturation = (1 + strength * draws[:, :3]).to(tiles.device).unbind(1)
    angle = (2 * torch.pi * HUE_SHARE * strength * draws[:, 3]).to(tiles.device)
    luma = LUMA.to(tiles.device)
    grey = luma.expand(3, 3)  # every channel becomes the luma
    tint = _turn(angle) @ _blend(torch.eye(3, device=tiles.device), grey, saturation)
    tint = tint * (brightness * contrast)[:, None, None]
    # Contrast moves away from the mean luma of the tile, which the brightness has scaled.
    mean = (tiles.mean(dim=(2, 3)) @ luma) * brightness
    pixels = torch.einsum("bij,bjhw->bihw", tint, tiles)
    return (pixels + (mean * (1 - contrast))[:, None, None, None]).clamp(0, 1)


def _blend(one: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """share * one + (1 - share) * other for each of B shares: (3, 3) -> (B, 3, 3)."""
    share = share[:, None, None]
    return share * one + (1 - share) * other


def _turn(angle: torch.Tensor) -> torch.Tensor:
    """Rotations of RGB about the grey axis by `angle` (B,) in radians: (B, 3, 3).

    Rodrigues' formula; grey stays grey, and the sum of the channels stays what it is.
    """
    eye, third = torch.eye(3, device=angle.device), torch.full((3, 3), 1 / 3, device=angle.device)
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=angle.device) / 3**0.5
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    return cosine * eye + (1 - cosine) * third + sine * cross
