"""Tiles of slides whose pixels are known: which they are, what is true, and how much it counts."""

import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from workflow.lib.jobs.units import usable
from workflow.lib.refine.objects import tile_instances
from workflow.lib.refine.weight_maps import border_term, reach_px
from workflow.lib.tiles.bags import TileBag, open_bag
from workflow.lib.tiles.shards import Shards
from workflow.lib.tiles.stores import Tiles, append_rows, create_group, create_rows

log = logging.getLogger(__name__)


class TruthBag:
    """Tiles with their truth, on disk as long as a training needs it.

    tiles: the readable tiles of slides with known truth
    masks: those of the slides that have a tile and a mask, sorted
    counts: (2,) int64, how many pixels of the tiles are background and foreground
    """

    def __init__(
        self,
        tiles: TileBag,
        maps: Sequence[Shards],
        *,
        masks: Sequence[str],
        counts: np.ndarray,
    ) -> None:
        self.tiles, self.masks, self.counts, self._maps = tiles, list(masks), counts, maps

    def maps(self, indices: torch.Tensor) -> torch.Tensor:
        """Truth (0 or 1) and border term (`weight_maps`) of the tiles `indices`, (B, 2, t, t)."""
        where = zip(
            self.tiles.slide[indices].tolist(), self.tiles.row[indices.numpy()], strict=True
        )
        found = np.stack([self._maps[slide][int(row)] for slide, row in where])
        return torch.from_numpy(found).float()


def open_truth_bag(
    tiles: Path,
    masks: Mapping[str, Path | None],
    folder: Path,
    *,
    border_weight: float,
    border_sigma_px: float,
) -> tuple[TruthBag, list[str]]:
    """The truth bag of the slides of `masks` (`known_truth`), and sentences on those left out.

    Maps are written into `folder`, which is emptied first: they can be larger than memory.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    group = create_group(folder / "maps.zarr")
    maps, counts, sentences = {}, np.zeros(2, np.int64), []
    for slide in usable(tiles, masks):
        store, seen = Tiles(tiles / slide / "tiles.zarr"), np.zeros(2, np.int64)
        side = store.attrs["tile_px"]
        rows = create_rows(group, slide, (len(store), 2, side, side), "float16")
        try:
            append_rows(rows, _blocks(masks[slide], store, seen, border_weight, border_sigma_px))
        except ValueError as error:
            sentences.append(f"{slide} is left out where pixels are learnt: {error}.")
            log.warning(sentences[-1])
            continue
        maps[slide] = Shards(folder / "maps.zarr" / slide)
        counts += seen
    bag = open_bag(tiles, dict.fromkeys(maps, 0))
    read = [slide for slide in bag.names(torch.arange(len(bag))) if masks[slide]]
    found = TruthBag(bag, [maps[slide] for slide in bag.slides], masks=read, counts=counts)
    return found, sentences


def _blocks(
    mask: Path | None, store: Tiles, counts: np.ndarray, weight: float, sigma_px: float
) -> Iterator[np.ndarray]:
    """Truth and border term of every tile, (1, 2, t, t) float16; adds to `counts` on the way."""
    margin = reach_px(sigma_px)
    inner = slice(margin, margin + store.attrs["tile_px"])
    for row, objects in enumerate(tile_instances(mask, store, margin_px=margin)):
        truth = objects[inner, inner] > 0
        border = border_term(objects, weight=weight, sigma_px=sigma_px)[inner, inner]
        if not store.bad[row]:
            counts += np.bincount(truth.ravel(), minlength=2)
        yield np.stack([truth, border]).astype(np.float16)[None]
