"""Pixels to learn from: as many of either class, spread evenly over the slides."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from workflow.lib.jobs.units import usable
from workflow.lib.refine.objects import tile_instances
from workflow.lib.refine.pixel_features import describe_pixels
from workflow.lib.refine.shares import share_out
from workflow.lib.tiles.inference import to_input
from workflow.lib.tiles.stores import Tiles

log = logging.getLogger(__name__)

Places = dict[str, list[np.ndarray]]  # slide -> (n, 3) int64 of tile row, y, x, for each class


@dataclass(frozen=True)
class Pixels:
    """Labelled pixels: features (n, 24) float32, truth (n,) bool, patient and tile (n,) of each."""

    features: torch.Tensor
    truth: np.ndarray
    patients: np.ndarray
    tiles: np.ndarray

    def only(self, chosen: np.ndarray) -> "Pixels":
        """The pixels `chosen` (indices or bool)."""
        parts = (self.features, self.truth, self.patients, self.tiles)
        return Pixels(*(part[chosen] for part in parts))


def draw_pixels(
    truths: Iterable[tuple[int, np.ndarray]], count: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """For background and foreground of a slide: up to `count` pixels, (n, 3) int64 of row, y, x.

    truths: rows of tiles with their truth (t, t) bool, one at a time. Every pixel of a class is as
    likely as any other, and the order is random, so that fewer can be taken from the front.
    """
    places = [np.empty((0, 3), np.int64)] * 2
    lots = [np.empty(0)] * 2
    for row, truth in truths:
        for kind in (0, 1):
            y, x = np.nonzero(truth == bool(kind))
            lot = np.concatenate([lots[kind], rng.random(len(y))])
            here = np.stack([np.full(len(y), row), y, x], axis=1)
            lowest = np.argsort(lot)[:count]
            places[kind] = np.concatenate([places[kind], here])[lowest]
            lots[kind] = lot[lowest]
    return places


def draw_places(
    tiles: Path, masks: Mapping[str, Path | None], total: int, rng: np.random.Generator
) -> tuple[Places, list[str]]:
    """Up to `total` pixels, half of each class, of slides with known truth (`known_truth`).

    Also gives sentences on slides that are left out because their mask cannot be used.
    """
    drawn, sentences = {}, []
    for slide in usable(tiles, masks):
        store = Tiles(tiles / slide / "tiles.zarr")
        objects = enumerate(tile_instances(masks[slide], store))
        truths = ((row, found > 0) for row, found in objects if not store.bad[row])
        try:
            drawn[slide] = draw_pixels(truths, total // 2, rng)
        except ValueError as error:
            sentences.append(f"{slide} is left out where pixels are learnt: {error}.")
            log.warning(sentences[-1])
    for kind in (0, 1):
        there = [len(places[kind]) for places in drawn.values()]
        for places, share in zip(drawn.values(), share_out(there, total // 2), strict=True):
            places[kind] = places[kind][:share]
    return drawn, sentences


def describe_places(
    tiles: Path,
    drawn: Places,
    patients: Mapping[str, str],
    *,
    illumination_px: float,
    device: torch.device,
) -> Pixels:
    """The pixels `drawn`, with the patients of their slides; a tile is read once."""
    parts = []
    for slide, places in drawn.items():
        store, where = Tiles(tiles / slide / "tiles.zarr"), np.concatenate(places)
        truth = np.repeat([False, True], [len(each) for each in places])
        for row in np.unique(where[:, 0]):
            here = where[:, 0] == row
            tile = to_input(store.batch([row]), device)
            found = describe_pixels(tile, illumination_px=illumination_px)[0]
            _, y, x = torch.from_numpy(where[here].T).to(device)
            features = found[:, y, x].T.cpu()
            parts.append((features, truth[here], [patients[slide]] * len(y), [len(parts)] * len(y)))
    features, *others = zip(*parts, strict=True)
    return Pixels(torch.cat(features), *(np.concatenate(each) for each in others))
