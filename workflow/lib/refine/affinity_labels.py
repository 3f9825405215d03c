"""What boundaries are learnt from: pixels that are surely foreground or background.

Ahn, Cho, Kwak: IRNet, CVPR 2019, section 4.1; everything here is on the grid of the boundaries.
"""

import torch
from torch.nn import functional
from tqdm import tqdm

from workflow.lib.evidence.pseudo_masks import BACKGROUND, FOREGROUND, IGNORE
from workflow.lib.refine.gaussian_kernels import SIDE
from workflow.lib.refine.random_fields import RandomField
from workflow.lib.refine.seed_bags import SeedBag
from workflow.lib.tiles.inference import read_ahead, to_input

STRIDE = 4  # px of the tile per px of the labels, at least
SURE = 0.7  # what a threshold is worth to the random field, as published


def label_pixels(
    evidence: torch.Tensor,
    pictures: torch.Tensor,
    *,
    foreground: float,
    background: float,
    field: RandomField | None,
    mpp: float,
) -> torch.Tensor:
    """Labels (B, h, w) uint8 of evidence (B, h, w) and RGB pictures (B, 3, h, w), all in 0..1.

    1 where the evidence is above `foreground`, 0 where it is not above `background`, 255 (ignore)
    between. With `field` either cut is first drawn to the edges of the picture, whose pixels have
    `mpp` um. Pictures are not looked at without one.
    """
    thresholds = evidence.new_tensor([foreground, background])[:, None, None, None]
    cuts = evidence[None] > thresholds
    if field and len(evidence):
        prior = torch.where(cuts, SURE, 1 - SURE).movedim(0, 1)
        pairs = zip(pictures, prior, strict=True)
        cuts = torch.stack([field.infer(*pair, mpp=mpp) > 0.5 for pair in pairs], dim=1)
    labels = torch.full(evidence.shape, IGNORE, dtype=torch.uint8, device=evidence.device)
    labels[~cuts[0] & ~cuts[1]] = BACKGROUND
    labels[cuts[0]] = FOREGROUND
    return labels


def count_mixed(labels: torch.Tensor) -> int:
    """How many of the tiles with labels (M, g, g) hold both: only they say where boundaries are."""
    flat = labels.flatten(1)
    return int(((flat == FOREGROUND).any(dim=1) & (flat == BACKGROUND).any(dim=1)).sum())


def label_bag(
    bag: SeedBag,
    *,
    foreground: float,
    background: float,
    field: RandomField | None,
    batch: int,
    device: torch.device,
) -> torch.Tensor:
    """Labels (M, g, g) uint8, on the CPU, of the M tiles of `bag`, as `label_pixels` gives them.

    g is a fourth of the tile's side, and at most 56 px: what the random field takes whole. Tiles
    of slides of the negative class are background throughout.
    """
    if not len(bag.tiles):
        return torch.zeros(0, 1, 1, dtype=torch.uint8)
    attrs = bag.tiles.stores[0].attrs
    side = attrs["tile_px"]
    grid = -(-side // max(STRIDE, -(-side // SIDE)))
    labels = torch.full((len(bag.tiles), grid, grid), BACKGROUND, dtype=torch.uint8)
    batches = torch.nonzero(~bag.negative)[:, 0].split(batch)
    shown = tqdm(total=len(batches), desc="labels", disable=None, leave=False)
    for indices, pixels in read_ahead(bag.tiles.read, batches if len(batches[0]) else ()):
        evidence = bag.maps(indices).to(device)
        small, pictures = (
            functional.adaptive_avg_pool2d(maps, grid)
            for maps in (evidence[:, None], to_input(pixels, device))
        )
        labels[indices] = label_pixels(
            small[:, 0],
            pictures,
            foreground=foreground,
            background=background,
            field=field,
            mpp=attrs["mpp"] * side / grid,
        ).cpu()
        shown.update()
    shown.close()
    return labels
