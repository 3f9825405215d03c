"""Evidence that spreads over a tile as far as no boundary stops it: the random walk of IRNet.

Ahn, Cho, Kwak, CVPR 2019. From a pixel the walk goes to any within a radius, with weights a^beta
(lib/refine/affinities.py), itself 1; T holds these weights, its columns scaled to a sum of 1,
and x T^n is the evidence x after n steps. A column is a mean: nothing exceeds the highest evidence.

The published code makes T a dense matrix and squares it, N^3 operations for N pixels. Here T is
applied n times, pair by pair, which gives the same in n N radius^2 and a memory of N radius^2: a
tile of any size is walked at the stride of its boundaries.
"""

import torch
from torch.nn import functional

from workflow.lib.evidence.cams import upsample
from workflow.lib.refine.affinities import barrier, pair_paths, window
from workflow.lib.refine.instances import find_instances


def random_walk(
    evidence: torch.Tensor, boundary: torch.Tensor, *, radius: int, beta: float, steps: int
) -> torch.Tensor:
    """x T^steps of K maps of evidence x (B, K, h, w) per tile; the same shape.

    boundary: (B, h, w), the probability of one in 0..1
    radius: in pixels of the map; beta: the power of affinities; steps: 256 = 2^8 as published
    """
    links = [
        (step, (1 - barrier(boundary, step, path)).pow(beta)[:, None])
        for step, path in pair_paths(radius)
        if step[0] < boundary.shape[-2] and abs(step[1]) < boundary.shape[-1]
    ]
    total = torch.ones_like(boundary)[:, None]
    for step, weight in links:
        window(total, step, (0, 0)).add_(weight)
        window(total, step, step).add_(weight)
    for _ in range(steps):
        reached = evidence.clone()
        for step, weight in links:
            here, there = (window(evidence, step, offset) for offset in ((0, 0), step))
            window(reached, step, step).addcmul_(weight, here)
            window(reached, step, (0, 0)).addcmul_(weight, there)
        evidence = reached.div_(total)
    return evidence


def spread(
    evidence: torch.Tensor,
    logits: torch.Tensor,
    displacement: torch.Tensor,
    *,
    radius: int,
    beta: float,
    steps: int,
    instances: bool,
) -> torch.Tensor:
    """Evidence (B, t, t) in 0..1 after its walk between boundaries: (B, t, t) in 0..1.

    logits: (B, h, w), of boundaries; displacement: (B, 2, h, w), used with `instances` only

    The walk starts from evidence * (1 - boundary) at the size of the logits; with `instances` from
    each instance of a tile alone, and the highest outcome counts. Published maps are divided by
    their maximum, image by image; that would set every tile of a slide aglow. Here the maximum of
    a tile stays that of its evidence, so that a cold tile stays cold. Where an image is one tile,
    with an evidence of 1 somewhere, both are the same.
    """
    boundary = logits.float().sigmoid()
    small = functional.adaptive_avg_pool2d(evidence[:, None], boundary.shape[1:])
    start = small * (1 - boundary[:, None])
    walk = {"radius": radius, "beta": beta, "steps": steps}
    if instances:
        tiles = zip(start, boundary, displacement.float(), strict=True)
        found = [_walk_apart(*tile, walk) for tile in tiles]
        walked = torch.stack(found) if found else start[:, 0]
    else:
        walked = random_walk(start, boundary, **walk)[:, 0]
    found = upsample(walked, evidence.shape[-1])
    highest = found.amax(dim=(1, 2)).clamp(min=torch.finfo(found.dtype).tiny)
    share = evidence.amax(dim=(1, 2)) / highest
    return (found * share[:, None, None]).clamp(0, 1)


def _walk_apart(
    start: torch.Tensor, boundary: torch.Tensor, displacement: torch.Tensor, walk: dict
) -> torch.Tensor:
    """The highest of the walks of the instances of one tile: (1, h, w), (h, w), (2, h, w)."""
    instance = find_instances(displacement)
    numbers = torch.arange(int(instance.max()) + 1, device=instance.device)
    apart = start * (instance == numbers[:, None, None])
    return random_walk(apart[None], boundary[None], **walk)[0].amax(dim=0)
