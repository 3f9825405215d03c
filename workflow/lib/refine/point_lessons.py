"""Points as a lesson: the seeds of NEGEV, set by hand, beside those of cams if wanted.

Partial cross-entropy on the pixels of discs around points, everything else ignored; tiles of
slides of the negative class are background throughout, as in negev.py.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from workflow.lib.evidence.cams import open_evidence
from workflow.lib.evidence.pseudo_masks import BACKGROUND, FOREGROUND
from workflow.lib.jobs.units import usable
from workflow.lib.refine.negev import NO_SEED, thin_seeds
from workflow.lib.refine.seed_bags import SeedBag, cam_bag
from workflow.lib.refine.seed_lessons import Sample, SeedLesson
from workflow.lib.slides.points import draw_discs, meet_tiles
from workflow.lib.tiles.bags import TileBag, balanced_order, open_bag
from workflow.lib.tiles.stores import open_group

log = logging.getLogger(__name__)

# Evidence is 0..1; what somebody has marked lies beyond, so that map and marks turn as one plane.
MARKED = {BACKGROUND: -1.0, FOREGROUND: 2.0}
UNSURE = 0.5  # where there is neither a cam nor a mark

Discs = dict[int, tuple[np.ndarray, np.ndarray]]  # tile of a bag -> centres in px of it, sides
Counts = tuple[int, int]


class PointBag(SeedBag):
    """Tiles with maps of evidence in which the discs around points are MARKED.

    base: a bag with maps in 0..1; discs: points of its tiles
    counts: slide -> how many points of BACKGROUND and of FOREGROUND are learnt from
    """

    def __init__(
        self, base: SeedBag, discs: Discs, counts: Mapping[str, Counts], *, radius_px: float
    ) -> None:
        super().__init__(base.tiles, self._marked, thinned=False)
        self.base, self.discs, self.counts, self.radius_px = base, discs, counts, radius_px
        self.pointed = torch.tensor([k in discs for k in range(len(base.tiles))], dtype=torch.bool)

    def _marked(self, indices: torch.Tensor) -> torch.Tensor:
        maps = self.base.maps(indices).float().clone()
        for plane, index in zip(maps, indices.tolist(), strict=True):
            if index in self.discs:
                shape = {"tile_px": plane.shape[-1], "radius_px": self.radius_px}
                labels = torch.from_numpy(draw_discs(*self.discs[index], **shape))
                for side, value in MARKED.items():
                    plane[labels == side] = value
        return maps


def open_point_bag(
    tiles: Path,
    points: Path,
    placed: Mapping[str, Mapping],
    *,
    negative: str | None,
    radius_um: float,
    cams: Path | None,
    cam_scale: str | None,
) -> PointBag:
    """The tiles of the slides `placed`, rows of splits.tsv by slide, with their points.

    tiles, points, cams: stage folders with a unit per slide. Without cams, only tiles that a disc
    reaches and those of negative slides are kept: nothing is learnt from the others. A slide whose
    points cannot be used has none. All of a negative slide is background already, so that its
    points teach nothing and do not count.
    """
    slides = placed if cams is None else usable(cams, placed)
    bag = open_bag(tiles, {slide: placed[slide]["label"] == negative for slide in slides})
    side, mpp = (bag.stores[0].attrs[key] if bag.slides else 1 for key in ("tile_px", "mpp"))
    discs, counts = _find_discs(bag, points, reach_px=radius_um / mpp)
    if cams is None:
        kept = [k for k in range(len(bag)) if k in discs or bag.label[k]]
        bag = bag.only(np.array(kept, np.int64))
        discs = {new: discs[old] for new, old in enumerate(kept) if old in discs}
        base = SeedBag(bag, lambda k: torch.full((len(k), side, side), UNSURE), thinned=False)
    else:
        evidence = [open_evidence(cams / slide, cam_scale) for slide in bag.slides]
        base = cam_bag(bag, evidence, side)
    return PointBag(base, discs, counts, radius_px=radius_um / mpp)


def _find_discs(bag: TileBag, points: Path, *, reach_px: float) -> tuple[Discs, dict[str, Counts]]:
    discs, counts = {}, dict.fromkeys(bag.slides, (0, 0))
    negative = {bag.slides[number] for number in bag.slide[bag.label.bool()].tolist()}
    marked = set(usable(points, bag.slides)) - negative
    for number, (slide, store) in enumerate(zip(bag.slides, bag.stores, strict=True)):
        if slide not in marked:
            continue
        group = open_group(points / slide / "points.zarr")
        places, sides = group["places_px0"][:] / store.attrs["scale"], group["sides"][:]
        mine = np.flatnonzero(bag.slide.numpy() == number)
        corners = store.positions_px[bag.row[mine]]
        where = {"tile_px": store.attrs["tile_px"]}
        near, which = meet_tiles(places, corners, **where, reach_px=reach_px)
        for tile in np.unique(near):
            own = which[near == tile]
            discs[int(mine[tile])] = (places[own] - corners[tile], sides[own])
        used = sides[np.unique(which)]
        counts[slide] = int((used == BACKGROUND).sum()), int((used == FOREGROUND).sum())
        if lost := len(places) - len(used):
            log.warning("%s: %d of %d points reach no tile.", slide, lost, len(places))
    return discs, counts


def make_point_sampler(draw: Sample | None) -> Sample:
    """The function that gives seeds (B, t, t) of the maps of a PointBag: every marked pixel.

    draw: what draws further seeds from the evidence, as often as it speaks for them; None: none.
    """

    def sample(maps: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        if draw is None:
            seeds = torch.full(maps.shape, NO_SEED, dtype=torch.int64, device=maps.device)
        else:
            evidence = _without_marks(maps)
            seeds = thin_seeds(draw(evidence, generator), evidence, generator)
        for side, value in MARKED.items():
            seeds[maps == value] = side
        return seeds

    return sample


def _without_marks(maps: torch.Tensor) -> torch.Tensor:
    """The evidence (B, t, t) in 0..1 of maps, at marked pixels the mean of the others of a tile."""
    free = (maps >= 0) & (maps <= 1)
    share = free.sum(dim=(1, 2)).clamp(min=1)
    mean = torch.where(free, maps, 0).sum(dim=(1, 2)) / share
    return torch.where(free, maps, mean[:, None, None])


class PointLesson(SeedLesson):
    """A decoder that learns from a PointBag; no validation, because points are for training.

    Tiles with points, tiles of negative slides and all others are drawn equally often: a few
    points would drown in the tiles of a cohort.
    """

    training: PointBag

    def deal(self, generator: torch.Generator) -> torch.Tensor:
        kinds = self.training.tiles.only(np.arange(len(self.training.tiles)))
        kinds.label = torch.where(self.training.pointed, 2, self.training.negative.long())
        return balanced_order(kinds, generator=generator)
