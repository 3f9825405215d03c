"""NEGEV: seeds sampled from a cam, and the loss that trains a decoder on them.

Belharbi, Pedersoli, Ben Ayed, McCaffrey, Granger: Negative Evidence Matters in Interpretable
Histology Image Classification, MIDL 2022. Written from the formulas.

Every step draws a few pixels of each tile anew: foreground where the evidence is high (C+),
background elsewhere (C-); a small neighbourhood of each joins it, and everything else is
ignored. Tiles of slides of a fully negative class (D-) need no seeds: all their pixels are
background.
"""

from typing import Literal

import torch
from torch.nn import functional

from workflow.lib.evidence.pseudo_masks import BACKGROUND, FOREGROUND

NO_SEED = (
    -255
)  # the published ignore index; 255 would also do, but a negative one cannot be a class
FLOOR = 1e-6  # keeps every pixel possible where the evidence is exactly 0 (or 1, for background)


def seed_weights(
    cams: torch.Tensor, background: Literal["official", "intended"]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unnormalised sampling weights (foreground, background) from evidence (B, H, W) in 0..1.

    Foreground: P+ proportional to C + 1e-6. Background, `official`: P- proportional to
    1 - P+, as the authors' code does it. With tens of thousands of pixels every P+ is about
    1e-5, so P- is flat: published C- seeds are in truth uniform over the image, tumour
    included. `intended`: P- proportional to 1 - C, which does avoid the evidence.
    """
    foreground = cams + FLOOR
    if background == "official":
        return foreground, 1 - foreground / foreground.sum(dim=(1, 2), keepdim=True)
    if background == "intended":
        return foreground, 1 - cams + FLOOR
    raise ValueError(f"background is {background!r}; write official or intended")


def draw_pixels(weights: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw `count` pixels per map without replacement: (B, H, W) weights -> (B, H, W) bool.

    `generator` is of the CPU, so that every device draws the same pixels. It is a race of
    exponential clocks, which is a multinomial draw without replacement; unlike torch.multinomial
    it gives fewer pixels (or none) where fewer have a weight above 0.
    """
    flat = weights.flatten(1)
    clocks = torch.empty(flat.shape).exponential_(generator=generator).to(flat)
    arrival = clocks / flat  # weight 0 never arrives: infinity
    first = arrival.topk(min(count, flat.shape[1]), dim=1, largest=False).indices
    drawn = torch.zeros_like(flat, dtype=torch.bool).scatter_(1, first, True)
    return (drawn & (flat > 0)).view_as(weights)


def place_seeds(foreground: torch.Tensor, background: torch.Tensor, dilate_px: int) -> torch.Tensor:
    """Seeds (B, H, W) int64 from drawn pixels (B, H, W) bool, each dilated to a square.

    dilate_px: side of the square, odd. A pixel claimed by both sides is dropped.
    """
    if dilate_px < 1 or dilate_px % 2 == 0:
        raise ValueError(f"dilate_px is {dilate_px}; it needs to be odd (1, 3, 5 ...)")

    def dilate(drawn: torch.Tensor) -> torch.Tensor:
        return functional.max_pool2d(drawn[:, None].float(), dilate_px, 1, dilate_px // 2)[:, 0] > 0

    foreground, background = dilate(foreground), dilate(background)
    seeds = torch.full(foreground.shape, NO_SEED, dtype=torch.int64, device=foreground.device)
    seeds[foreground & ~background] = FOREGROUND
    seeds[background & ~foreground] = BACKGROUND
    return seeds


def sample_seeds(
    cams: torch.Tensor,
    *,
    foreground_pixels: int = 1,
    background_pixels: int = 1,
    dilate_px: int = 3,
    background: Literal["official", "intended"] = "official",
    generator: torch.Generator,
) -> torch.Tensor:
    """Fresh seeds (B, H, W) int64 in {1, 0, -255} from evidence (B, H, W) float in 0..1."""
    for_foreground, for_background = seed_weights(cams, background)
    return place_seeds(
        draw_pixels(for_foreground, foreground_pixels, generator),
        draw_pixels(for_background, background_pixels, generator),
        dilate_px,
    )


def thin_seeds(seeds: torch.Tensor, cams: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Keep the seeds of each tile only as often as its evidence (B, H, W) in 0..1 speaks for them.

    Foreground seeds stay with the probability of the strongest evidence in the tile, background
    seeds with that of the weakest against it. Published seeds are per image, scaled to hold both
    a 1 and a 0: nothing changes where a slide is one tile. Where it is many, P+ and P- are
    distributions within a tile, whatever its level: a tile without tumour would get as many
    foreground seeds as one full of it, and a tile full of it as many background seeds.
    """
    draws = torch.rand(2, len(seeds), generator=generator).to(seeds.device)
    hot, cold = cams.amax(dim=(1, 2)), cams.amin(dim=(1, 2))
    lost = (seeds == FOREGROUND) & (draws[0] >= hot)[:, None, None]
    lost |= (seeds == BACKGROUND) & (draws[1] >= 1 - cold)[:, None, None]
    return seeds.masked_fill(lost, NO_SEED)


def sample_mask_seeds(
    masks: torch.Tensor,
    *,
    foreground_pixels: int = 1,
    background_pixels: int = 1,
    dilate_px: int = 3,
    generator: torch.Generator,
) -> torch.Tensor:
    """Fresh seeds (B, H, W) int64 in {1, 0, -255} from pseudo-masks (B, H, W) uint8.

    Uniform within each side of the mask; a side that a mask lacks gets no seed. The dilation
    may reach into ignored pixels, as it does for seeds from a cam.
    """
    return place_seeds(
        draw_pixels((masks == FOREGROUND).float(), foreground_pixels, generator),
        draw_pixels((masks == BACKGROUND).float(), background_pixels, generator),
        dilate_px,
    )


def seed_loss(logits: torch.Tensor, seeds: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Partial cross-entropy: the mean over seed pixels of the tiles that are not negative.

    logits (B, 2, H, W), seeds (B, H, W) int64, negative (B,) bool: the tile is of a slide of
    the negative class. Exactly 0, with zero gradients, when no seed is left.
    """
    seeds = seeds.masked_fill(negative[:, None, None], NO_SEED)
    total = functional.cross_entropy(logits, seeds, ignore_index=NO_SEED, reduction="sum")
    return total / (seeds != NO_SEED).sum().clamp(min=1)


def negative_loss(logits: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
    """Cross-entropy to background: the mean over every pixel of the negative tiles.

    logits (B, 2, H, W), negative (B,) bool. Exactly 0, with zero gradients, without any.
    """
    rows = logits[negative]
    target = torch.full_like(rows[:, 0], BACKGROUND, dtype=torch.int64)
    total = functional.cross_entropy(rows, target, reduction="sum")
    return total / max(target.numel(), 1)


def negev_loss(
    logits: torch.Tensor, seeds: torch.Tensor, negative: torch.Tensor, *, seed_weight: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The whole loss and its two terms: (total, seed term, fully-negative term), all scalars.

    total = seed_weight * seed term + fully-negative term. Both terms are means, as in the
    authors' code (the paper writes sums).
    """
    seeded = seed_loss(logits, seeds, negative)
    emptied = negative_loss(logits, negative)
    return seed_weight * seeded + emptied, seeded, emptied
