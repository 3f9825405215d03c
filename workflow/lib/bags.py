"""Tiles of many slides as one list, each with its slide and its class."""

from collections.abc import Sequence

import numpy as np
import torch

from workflow.lib.stores import Tiles


class TileBag:
    """The readable tiles of labelled slides, in the order of slides and rows.

    slide, label: (M,) int64, indices into `slides` and into the classes
    """

    def __init__(
        self, slides: Sequence[str], stores: Sequence[Tiles], labels: Sequence[int]
    ) -> None:
        self.slides, self.stores = list(slides), list(stores)
        rows = [np.flatnonzero(~store.bad) for store in self.stores]
        counts = [len(found) for found in rows]
        self.row = np.concatenate([*rows, np.empty(0, np.int64)]).astype(np.int64)
        self.slide = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
        self.label = torch.tensor(labels, dtype=torch.int64)[self.slide]

    def __len__(self) -> int:
        return len(self.row)

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Pixels (B, t, t, 3) uint8 of the tiles `indices`, in their order; B >= 1."""
        indices = np.asarray(indices)
        slides = self.slide.numpy()[indices]
        pixels = None
        for slide in np.unique(slides):
            here = np.flatnonzero(slides == slide)
            found = self.stores[slide].batch(self.row[indices[here]])
            if pixels is None:
                pixels = np.empty((len(indices), *found.shape[1:]), np.uint8)
            pixels[here] = found
        return pixels

    def names(self, indices: Sequence[int]) -> list[str]:
        """The slides that the tiles `indices` are from, each once, sorted."""
        return sorted({self.slides[slide] for slide in self.slide[torch.as_tensor(indices)]})

    def groups(self) -> list[list[torch.Tensor]]:
        """For each class that has tiles, in order: the tile indices of each of its slides."""
        found: dict[int, list[torch.Tensor]] = {}
        counts = torch.bincount(self.slide, minlength=len(self.slides)).tolist()
        for tiles in torch.arange(len(self)).split(counts):
            if len(tiles):
                found.setdefault(int(self.label[tiles[0]]), []).append(tiles)
        return [found[label] for label in sorted(found)]


def tile_weights(bag: TileBag) -> torch.Tensor:
    """Weights (M,) float64, adding up to 1, that give every class the same, and its slides too."""
    weights, classes = torch.zeros(len(bag), dtype=torch.float64), bag.groups()
    for slides in classes:
        for tiles in slides:
            weights[tiles] = 1.0 / (len(classes) * len(slides) * len(tiles))
    return weights


def balanced_order(bag: TileBag, *, generator: torch.Generator) -> torch.Tensor:
    """An epoch of about M tile indices in which every class is drawn equally often.

    Within a class its slides take equal turns, and each slide deals its tiles in random order,
    all of them before any comes again. Small slides and rare classes thus count like large ones.
    """
    drawn, classes = [], bag.groups()
    share = -(-len(bag) // len(classes))
    for slides in classes:
        for turn, index in enumerate(torch.randperm(len(slides), generator=generator)):
            tiles = slides[index]
            quota = share // len(slides) + (turn < share % len(slides))
            decks = [
                tiles[torch.randperm(len(tiles), generator=generator)]
                for _ in range(-(-quota // len(tiles)))
            ]
            drawn.append(torch.cat([tiles[:0], *decks])[:quota])
    order = torch.cat(drawn)
    return order[torch.randperm(len(order), generator=generator)]
