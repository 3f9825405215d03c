"""Tiles of many slides as one list, each with its slide and its class."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from workflow.lib.jobs.units import usable
from workflow.lib.measures.label_metrics import balanced_weights
from workflow.lib.tiles.buffers import empty_batch
from workflow.lib.tiles.inference import check_tiles
from workflow.lib.tiles.stores import Tiles, open_group


class TileBag:
    """The readable tiles of labelled slides, in the order of slides and rows.

    slide, label: (M,) int64, indices into `slides` and into the classes. A tile has the label of
        its slide, or its own where `tile_labels` are given; one with a label below 0 is left out.
    cluster: (M,) int64 where `assignments` gives a cluster for every tile of each slide, else None
    """

    def __init__(
        self,
        slides: Sequence[str],
        stores: Sequence[Tiles],
        labels: Sequence[int],
        assignments: Sequence[np.ndarray] | None = None,
        tile_labels: Sequence[np.ndarray] | None = None,
    ) -> None:
        self.slides, self.stores = list(slides), list(stores)
        if tile_labels is None:
            rows = [np.flatnonzero(~store.bad) for store in self.stores]
        else:
            known = zip(self.stores, tile_labels, strict=True)
            rows = [np.flatnonzero(~store.bad & (own >= 0)) for store, own in known]
        counts = [len(found) for found in rows]
        self.row = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int64)
        self.slide = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
        self.label = torch.tensor(labels, dtype=torch.int64)[self.slide]
        if tile_labels is not None:
            self.label = _of_rows(tile_labels, rows)
        self.cluster = None if assignments is None else _of_rows(assignments, rows)

    def __len__(self) -> int:
        return len(self.row)

    def only(self, indices: np.ndarray) -> "TileBag":
        """The tiles `indices`, as a bag of the same slides."""
        found = copy.copy(self)
        found.row, found.slide, found.label = (
            part[indices] for part in (self.row, self.slide, self.label)
        )
        found.cluster = None if self.cluster is None else self.cluster[indices]
        return found

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Pixels (B, t, t, 3) uint8 of the tiles `indices`, in their order; B >= 1."""
        indices = np.asarray(indices)
        stores = [self.stores[slide] for slide in self.slide.numpy()[indices]]
        pixels = empty_batch((len(indices), *stores[0].tile_shape))
        for store, row, into in zip(stores, self.row[indices], pixels, strict=True):
            store.read(row, into)
        return pixels

    def names(self, indices: Sequence[int]) -> list[str]:
        """The slides that the tiles `indices` are from, each once, sorted."""
        return sorted({self.slides[slide] for slide in self.slide[torch.as_tensor(indices)]})

    def groups(self, by: torch.Tensor | None = None) -> list[list[torch.Tensor]]:
        """For each class that has tiles, in order: the tile indices of each group of it.

        by: (M,) int64, the group of each tile, as `cluster`; without it a group is a slide.
        """
        by = (self.slide if by is None else by).numpy()
        order = np.lexsort((by, self.label.numpy()))  # stable: tiles of a group stay in order
        keys = np.stack([self.label.numpy()[order], by[order]])
        starts = np.flatnonzero((np.diff(keys, axis=1, prepend=-1) != 0).any(axis=0))
        found: dict[int, list[torch.Tensor]] = {}
        for tiles in np.split(order, starts[1:]) if len(order) else []:
            found.setdefault(int(self.label[tiles[0]]), []).append(torch.from_numpy(tiles))
        return list(found.values())


def open_bag(
    tiles: Path,
    labels: Mapping[str, int],
    assignments: Path | None = None,
    tile_labels: Path | None = None,
) -> TileBag:
    """The tiles of those slides of `labels` ({slide: class}) that are not quarantined, sorted.

    tiles, assignments, tile_labels: stage folders with a unit per slide. With `tile_labels` a tile
    has its own label, and those that nothing is to be learnt from are left out.
    """
    slides = usable(tiles, labels)
    stores = [Tiles(tiles / slide / "tiles.zarr") for slide in slides]
    clusters = assignments and [
        open_group(assignments / slide / "assignments.zarr")["assignments"][:] for slide in slides
    ]
    own = tile_labels and [
        open_group(tile_labels / slide / "tile_labels.zarr")["labels"][:] for slide in slides
    ]
    return TileBag(slides, stores, [labels[slide] for slide in slides], clusters, own)


def check_bag(model: str, bag: TileBag, *, expects: tuple[int | None, float | None]) -> None:
    """`inference.check_tiles` of the tiles of every slide, which a refusal names."""
    for slide, store in zip(bag.slides, bag.stores, strict=True):
        found = store.attrs["tile_px"], store.attrs["mpp"]
        check_tiles(f"{model} ({slide})", expects=expects, tiles=found)


def tile_weights(bag: TileBag) -> torch.Tensor:
    """Weights (M,) float64, adding up to 1, that give every class the same, and its slides too.

    A slide whose tiles are of several classes has a part in each.
    """
    slides, labels = bag.slide.numpy(), bag.label.numpy()
    parts = slides * (labels.max(initial=0) + 1) + labels
    weights = balanced_weights(parts, labels)
    return torch.from_numpy(weights / max(1, len(bag)))


def _of_rows(arrays: Sequence[np.ndarray], rows: Sequence[np.ndarray]) -> torch.Tensor:
    """(M,) int64: the rows of each slide's array, one slide after the other."""
    each = [array[kept] for array, kept in zip(arrays, rows, strict=True)]
    return torch.from_numpy(np.concatenate([*each, np.empty(0, np.int64)]).astype(np.int64))


def balanced_order(
    bag: TileBag, *, by: torch.Tensor | None = None, generator: torch.Generator
) -> torch.Tensor:
    """An epoch of about M tile indices in which every class is drawn equally often.

    Within a class its groups (TileBag.groups: slides, or clusters) take equal turns, and each
    deals its tiles in random order, all of them before any comes again. Small slides and rare
    classes, or rare tissue where groups are clusters, thus count like large ones.
    """
    drawn, classes = [], bag.groups(by)
    share = -(-len(bag) // len(classes))
    for groups in classes:
        for turn, index in enumerate(torch.randperm(len(groups), generator=generator)):
            tiles = groups[index]
            quota = share // len(groups) + (turn < share % len(groups))
            decks = [
                tiles[torch.randperm(len(tiles), generator=generator)]
                for _ in range(-(-quota // len(tiles)))
            ]
            drawn.append(torch.cat([tiles[:0], *decks])[:quota])
    order = torch.cat(drawn)
    return order[torch.randperm(len(order), generator=generator)]
