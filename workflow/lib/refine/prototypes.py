"""Region prototypes: what foreground and background look like, compared across images.

Liu, Kong, Hung, Lin: Cross-Image Region Mining with Region Prototypical Network for Weakly
Supervised Segmentation, arXiv 2108.07413. Written from the formulas: masked average pooling makes a
prototype of a region of one image, and the locations of another image that are alike (by cosine,
the most alike prototype counting) are found, in feature maps of several resolutions. A part that
the evidence of one image misses is found with the prototypes of others.

Ours: foreground and background compete in a softmax, where the paper divides one similarity by its
maximum, which a tile without a finding would also have; regions are cut at fixed values of the
evidence for the same reason; background prototypes also come from slides of the fully negative
class; resolutions are averaged. Sides are the planes BACKGROUND (0) and FOREGROUND (1).
"""

from collections.abc import Sequence

import torch
from torch.nn import functional

from workflow.lib.evidence.pseudo_masks import BACKGROUND, FOREGROUND

UNKNOWN = 0.5  # the probability where a side has no prototype
BELOW = -2.0  # less alike than a cosine can say
LEAST_AREA = 1e-6  # of a region, in locations


def region_weights(
    evidence: torch.Tensor, negative: torch.Tensor, *, foreground: float, background: float
) -> torch.Tensor:
    """The two regions of each tile, (B, 2, t, t) float 0 or 1, from evidence (B, t, t) in 0..1.

    Foreground is evidence of at least `foreground`, background is evidence below `background`;
    all of a tile is background where `negative` (B,) bool says so.
    """
    sides = torch.empty(len(evidence), 2, *evidence.shape[1:], device=evidence.device)
    whole = negative[:, None, None]
    sides[:, FOREGROUND] = ((evidence >= foreground) & ~whole).float()
    sides[:, BACKGROUND] = ((evidence < background) | whole).float()
    return sides


def pool_regions(features: Sequence[torch.Tensor], regions: torch.Tensor) -> torch.Tensor:
    """Masked average pooling: prototypes (B, 2, R, D) of R feature maps, each (B, D, h, w).

    regions (B, 2, t, t): each location counts by the share of its pixels that is in the region.
    A region without a pixel has the prototype 0.
    """
    pooled = []
    for locations in features:
        area = functional.adaptive_avg_pool2d(regions, locations.shape[-2:])
        total = torch.einsum("bdhw,bshw->bsd", locations.float(), area)
        pooled.append(total / area.sum(dim=(2, 3)).clamp(min=LEAST_AREA)[..., None])
    return torch.stack(pooled, dim=2)


def has_region(regions: torch.Tensor) -> torch.Tensor:
    """Whether a tile has a pixel of each side, (B, 2) bool."""
    return (regions > 0).any(dim=(2, 3))


def choose_sources(
    slide: torch.Tensor, kind: torch.Tensor, negative: torch.Tensor, known: torch.Tensor
) -> torch.Tensor:
    """Whose prototypes each tile is compared with, (B, 2, B) bool: tile, side, source.

    slide, kind (B,) int: slide and class of the slide; negative (B,) bool; known (B, 2) bool: the
    tile has a prototype of the side. Sources are tiles of other slides: for the foreground those
    of the same class (any finding, for a tile of a negative slide), for the background all. Where
    a batch holds none, they are whatever tiles it does hold, the tile itself included.
    """
    alike = (kind[:, None] == kind[None]) | negative[:, None]
    by_side = torch.empty(len(slide), 2, len(slide), dtype=torch.bool, device=known.device)
    by_side[:, BACKGROUND], by_side[:, FOREGROUND] = True, alike
    by_side &= known.T
    others = by_side & (slide[:, None] != slide[None])[:, None]
    return torch.where(others.any(dim=2, keepdim=True), others, by_side)


def own_source(known: torch.Tensor) -> torch.Tensor:
    """Each tile compared with itself alone, (B, 2, B) bool, from what is `known` (B, 2)."""
    return torch.eye(len(known), dtype=torch.bool, device=known.device)[:, None] & known.T


def foreground_map(
    features: Sequence[torch.Tensor],
    prototypes: torch.Tensor,
    sources: torch.Tensor,
    *,
    temperature: float,
) -> torch.Tensor:
    """Foreground probability (B, h, w), at the size of the largest of R maps (B, D, h_r, w_r).

    prototypes (K, 2, R, D), sources (B, 2, K) bool. At each location the cosines with the most
    alike prototype of either side, over `temperature`, go through a softmax; the mean over the
    resolutions. 0.5 for tiles that lack a source of one side. Lengths of features do not count.
    """
    size = max(tuple(locations.shape[-2:]) for locations in features)
    maps = [
        _compare(locations, prototypes[:, :, level], sources, temperature)
        for level, locations in enumerate(features)
    ]
    fused = [functional.interpolate(each[:, None], size, mode="bilinear") for each in maps]
    return torch.stack(fused).mean(dim=0)[:, 0]


def _compare(
    locations: torch.Tensor, prototypes: torch.Tensor, sources: torch.Tensor, temperature: float
) -> torch.Tensor:
    """One resolution: (B, D, h, w) with (K, 2, D), as in `foreground_map`: (B, h, w)."""
    alike = torch.einsum(
        "bdhw,ksd->bskhw",
        functional.normalize(locations.float(), dim=1),
        functional.normalize(prototypes, dim=-1),
    )
    best = alike.masked_fill(~sources[..., None, None], BELOW).amax(dim=2)
    probability = torch.softmax(best / temperature, dim=1)[:, FOREGROUND]
    told = sources.any(dim=2).all(dim=1)
    return torch.where(told[:, None, None], probability, UNKNOWN)


def consistency_loss(
    prototypes: torch.Tensor,
    sources: torch.Tensor,
    known: torch.Tensor,
    own: torch.Tensor,
    others: torch.Tensor,
) -> torch.Tensor:
    """What tiles say of their regions against what their sources say of them: a scalar, 0 or more.

    The mean of 1 - cosine over tiles with a prototype (B, 2, R, D) and their `sources`
    (B, 2, B), plus the mean square between the maps (B, h, w) from a tile's own prototypes and
    from the others (the paper's loss between a map and that of its regions) over the tiles that
    have both regions. Exactly 0, with zero gradients, where nothing can be compared.
    """
    unit = functional.normalize(prototypes, dim=-1)
    cosine = torch.einsum("isrd,jsrd->isjr", unit, unit).mean(dim=-1)
    pairs = sources & known[:, :, None]
    apart = ((1 - cosine) * pairs).sum() / pairs.sum().clamp(min=1)
    whole = known.all(dim=1) & sources.any(dim=2).all(dim=1)
    error = ((own - others) ** 2).mean(dim=(1, 2))
    return apart + (error * whole).sum() / whole.sum().clamp(min=1)
