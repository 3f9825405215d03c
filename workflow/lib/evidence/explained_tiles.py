"""Tiles that are explained: which ones, and what a class activation map shows in one of them."""

import logging
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from workflow.lib.evidence.cams import Scale, scale_cams, scale_of, upsample
from workflow.lib.report.montage import count
from workflow.lib.tiles.bags import TileBag
from workflow.lib.tiles.stores import Tiles

log = logging.getLogger(__name__)


class Pick(NamedTuple):
    """A tile that is explained: why this one, its index, and the class that it is called."""

    why: str
    tile: int
    of: int


def pick_tiles(
    probability: np.ndarray, slides: np.ndarray, *, most: int, least: int, named: Sequence[int]
) -> list[Pick]:
    """Class by class: the `most` and the `least` certain of M tiles, then those of `named`.

    probability: (M, C), of which the highest says what a tile is called, and how certainly
    slides: (M,), the slide of each tile. Slides take turns, each with its best tile, so that as
        many as there are can be seen.
    A tile is picked once.
    """
    called, picks = probability.argmax(axis=1), []
    for of in range(probability.shape[1]):
        own = np.flatnonzero(called == of)
        surest = own[np.argsort(-probability[own, of], kind="stable")]
        top = _in_turns(surest, slides)[:most]
        low = _in_turns(surest[::-1][~np.isin(surest[::-1], top)], slides)[:least]
        asked = [t for t in dict.fromkeys(named) if called[t] == of and t not in {*top, *low}]
        groups = {"most certain": top, "least certain": low, "named": asked}
        picks += [Pick(why, int(tile), of) for why, tiles in groups.items() for tile in tiles]
    return picks


def read_named(named: Sequence[str], tested: Collection[str]) -> list[tuple[str, str]]:
    """Slide and place of each of `named`; ValueError for a slide that no fold tests."""
    asked = [(slide, place) for slide, _, place in (entry.rpartition(":") for entry in named)]
    if untested := sorted({slide for slide, _ in asked} - set(tested)):
        raise ValueError(
            f"explain_tiles.named: {', '.join(untested)} is tested in no fold, so that every "
            "classifier has seen it; name tiles of other slides"
        )
    return asked


def find_tiles(asked: Sequence[tuple[str, str]], bag: TileBag) -> Iterator[int]:
    """Indices in the bag of tiles (slide, place); a warning for those that are not in it."""
    for slide, place in asked:
        if slide not in bag.slides:
            log.warning("%s was put aside, so that no tile of it is explained.", slide)
            continue
        number = bag.slides.index(slide)
        row = find_tile(slide, bag.stores[number], place)
        at = np.flatnonzero((bag.slide.numpy() == number) & (bag.row == row))
        if not len(at):
            log.warning("Tile %d of %s cannot be read and is not explained.", row, slide)
        yield from at.tolist()


def find_tile(slide: str, store: Tiles, place: str) -> int:
    """The row of a tile of `slide` at `place`: its own number "12", or a point "x,y" in level-0 px.

    Where tiles overlap it is the one whose middle is nearest. Raises ValueError for a tile that is
    not there, naming the slide.
    """
    numbers = [int(number) for number in place.split(",")]
    if len(numbers) == 1:
        if numbers[0] >= len(store):
            raise ValueError(
                f"explain_tiles.named: {slide} has {count(len(store), 'tile')}, counted from 0, "
                f"and none is number {place}"
            )
        return numbers[0]
    half_px0 = store.attrs["tile_px"] * store.attrs["scale"] / 2
    distance = np.abs(store.origins + half_px0 - numbers[::-1]).max(axis=1)
    if not (distance <= half_px0).any():
        raise ValueError(
            f"explain_tiles.named: no tile of {slide} lies at x,y = {place}, which are level-0 "
            "px from the top left of the slide"
        )
    return int(distance.argmin())


def tile_evidence(cams: np.ndarray, of: int, *, cam: str, scale: Scale, tile_px: int) -> np.ndarray:
    """Evidence (t, t) float32 in 0..1 for class `of`, from stored cams (1, C, h, w) of a tile.

    cam: the method that made them; scale: what cams are scaled by in the study. Where that is by
    slide it is by tile here, from its lowest to its highest: a slide notes the bounds of one class.
    """
    used = scale_of(cam, scale)
    used = "minmax_tile" if used == "minmax" and cam != "grabcut" else used
    scaled = scale_cams(torch.from_numpy(cams), of, scale=used, low=0.0, high=1.0)
    return upsample(scaled, tile_px)[0].numpy()


def _in_turns(tiles: np.ndarray, slides: np.ndarray) -> np.ndarray:
    """Tiles, best first: the first of every slide, then the second of every slide ..."""
    seen: Counter[int] = Counter()
    turns = []
    for slide in slides[tiles].tolist():
        turns.append(seen[slide])
        seen[slide] += 1
    return tiles[np.argsort(turns, kind="stable")]
