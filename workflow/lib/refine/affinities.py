"""Which pixels of a tile belong together: affinities from boundaries, and how they are learnt.

Ahn, Cho, Kwak: Weakly Supervised Learning of Instance Segmentation with Inter-pixel Relations
(IRNet), CVPR 2019. Written from the formulas.

Two pixels less than a radius apart are a pair. No boundary must lie on the way from one to the
other: with B the probability of one, their affinity is a = 1 - max B over the pixels of the path.
"""

import functools

import torch
from torch.nn import functional

from workflow.lib.evidence.pseudo_masks import BACKGROUND, FOREGROUND

Offset = tuple[int, int]
TERMS = ("alike", "unlike", "foreground_displacement", "background_displacement")


@functools.cache
def pair_paths(radius: int) -> tuple[tuple[Offset, tuple[Offset, ...]], ...]:
    """For each step (dy, dx) from a pixel to a partner: the offsets of the pixels of its path.

    A step is shorter than `radius` and goes down, or right within a row, so that every pair is
    there once. Its path holds both ends, and every pixel of the rectangle between them that is
    less than 1 away from the straight line.
    """
    steps = [
        (dy, dx)
        for dy in range(radius)
        for dx in range(1 - radius, radius)
        if (dy, dx) > (0, 0) and dy**2 + dx**2 < radius**2
    ]
    return tuple((step, _path(*step)) for step in steps)


def _path(dy: int, dx: int) -> tuple[Offset, ...]:
    columns = range(min(0, dx), max(0, dx) + 1)
    return tuple(
        (y, x)
        for y in range(dy + 1)
        for x in columns
        if (y * dx - x * dy) ** 2 < dy**2 + dx**2  # the squared distance from the line, times both
    )


def window(maps: torch.Tensor, step: Offset, offset: Offset) -> torch.Tensor:
    """Maps (..., h, w) at `offset` from the first pixel of each pair of `step`; a view.

    (..., h - |dy|, w - |dx|): all pairs of which both ends, and so the path, are in the map.
    """
    height, width = maps.shape[-2] - step[0], maps.shape[-1] - abs(step[1])
    top, left = offset[0], max(0, -step[1]) + offset[1]
    return maps[..., top : top + max(0, height), left : left + max(0, width)]


def barrier(boundary: torch.Tensor, step: Offset, path: tuple[Offset, ...]) -> torch.Tensor:
    """The highest `boundary` (..., h, w) on the path of each pair of `step`: as `window` gives."""
    return torch.stack([window(boundary, step, offset) for offset in path]).max(dim=0).values


def pair_losses(
    logits: torch.Tensor, displacement: torch.Tensor, labels: torch.Tensor, radius: int
) -> dict[str, torch.Tensor]:
    """The four terms of the loss, as TERMS names them, each a mean over pairs of the batch.

    logits: (B, h, w), of the boundary; displacement: (B, 2, h, w) in pixels of the map, (y, x),
        from a pixel to the centre of what it belongs to
    labels: (B, h, w), 1 foreground, 0 background, anything else is ignored

    alike: -log a of pairs of one label, half of it from background and half from foreground
    unlike: -log(1 - a) of pairs across labels
    foreground_displacement: |D_i - D_j - (j - i)|, because both point at one centre
    background_displacement: |D_i - D_j|, because there is no centre
    A term is 0 where there is no such pair.
    """
    sums, counts = logits.new_zeros(5), logits.new_zeros(3)
    for step, path in pair_paths(radius):
        first, second = window(labels, step, (0, 0)), window(labels, step, step)
        if not first.numel():
            continue
        inside = (first == FOREGROUND) & (second == FOREGROUND)
        outside = (first == BACKGROUND) & (second == BACKGROUND)
        across = (first == FOREGROUND) & (second == BACKGROUND)
        across |= (first == BACKGROUND) & (second == FOREGROUND)
        between = barrier(logits, step, path)
        joined = functional.softplus(between)  # -log(1 - sigmoid), without its rounding
        parted = window(displacement, step, (0, 0)) - window(displacement, step, step)
        apart = parted.new_tensor(step)[:, None, None]
        kinds = torch.stack([outside, inside, across]).to(logits.dtype)
        values = torch.stack(
            [
                joined * kinds[0],
                joined * kinds[1],
                functional.softplus(-between) * kinds[2],
                (parted - apart).abs().mean(dim=1) * kinds[1],
                parted.abs().mean(dim=1) * kinds[0],
            ]
        )
        sums = sums + values.flatten(1).sum(dim=1)
        counts = counts + kinds.flatten(1).sum(dim=1)
    outside, inside, across = counts.clamp(min=1)
    terms = (sums[0] / outside + sums[1] / inside) / 2, sums[2] / across
    return dict(zip(TERMS, (*terms, sums[3] / inside, sums[4] / outside), strict=True))
