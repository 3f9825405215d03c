"""Features of many tiles as a source that can be read again and again, block by block."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

CELLS = 1 << 22  # numbers read at once: 16 MiB, a shard of a feature store


class Array(Protocol):
    """What features are read from: a NumPy or a zarr array of rows (N, D)."""

    shape: tuple[int, ...]

    def __getitem__(self, rows: slice) -> np.ndarray: ...


class Rows:
    """The kept rows of several arrays, in their order. Iterating gives blocks (B, D) float32.

    arrays: {slide: (N, D)}, only read when iterated; kept: {slide: (N,) bool}, None for all rows.
    `len` is the number of kept rows, `dimension` is D. No block is empty, none spans two arrays.
    Raises ValueError for arrays of different widths; iterating raises it at a feature, kept or
    not, that is NaN or infinite, and names slide and tile.
    """

    def __init__(
        self, arrays: Mapping[str, Array], kept: Mapping[str, np.ndarray] | None = None
    ) -> None:
        self.arrays = dict(arrays)
        self.kept = {
            slide: np.ones(array.shape[0], bool) if kept is None else np.asarray(kept[slide], bool)
            for slide, array in self.arrays.items()
        }
        widths = {array.shape[1]: slide for slide, array in self.arrays.items()}
        if len(widths) != 1:
            named = ", ".join(f"{slide} has {width}" for width, slide in sorted(widths.items()))
            raise ValueError(
                "Features of one width are needed to cluster, here "
                + (f"{named}: extract them again with one encoder" if named else "are none at all")
            )
        self.dimension = next(iter(widths))

    def __len__(self) -> int:
        return sum(int(kept.sum()) for kept in self.kept.values())

    def __iter__(self) -> Iterator[np.ndarray]:
        step = max(1, CELLS // max(1, self.dimension))
        for slide, array in self.arrays.items():
            kept = self.kept[slide]
            for start in range(0, array.shape[0], step):
                block = np.asarray(array[start : start + step])
                check_finite(block, first=start, slide=slide)
                wanted = kept[start : start + step]
                if wanted.any():
                    rows = block if wanted.all() else block[wanted]
                    yield np.asarray(rows, np.float32)


def one_encoder(attrs: Mapping[str, Mapping]) -> dict:
    """What the features of slides say of their encoder, by slide, where all say the same.

    {} without a slide. Raises ValueError, naming a slide of each, where they differ.
    """
    made_by = {str(dict(said)): slide for slide, said in attrs.items()}
    if len(made_by) > 1:
        named = "; ".join(f"{slide} has those of {what}" for what, slide in made_by.items())
        raise ValueError(
            f"Features of different encoders cannot be used together: {named}; extract them again"
        )
    return dict(next(iter(attrs.values()), {}))


def draw(good: Sequence[np.ndarray], most: int, *, seed: int) -> list[np.ndarray]:
    """Of the good rows (N,) bool of every array, `most` that are drawn at random, or all."""
    kept = np.concatenate([np.zeros(0, bool), *good])
    if kept.sum() > most:
        rng = np.random.default_rng(seed)
        kept[rng.permutation(np.flatnonzero(kept))[most:]] = False
    return np.split(kept, np.cumsum([len(rows) for rows in good])[:-1])[: len(good)]


def gather(rows: Rows, file: Path) -> Rows:
    """The kept rows as a source of their own, read once and kept in `file`, not in memory."""
    shape = (len(rows), rows.dimension)
    held = np.memmap(file, np.float32, mode="w+", shape=shape)
    start = 0
    for block in rows:
        held[start : start + len(block)] = block
        start += len(block)
    held.flush()
    return Rows({"": held})


def check_finite(features: np.ndarray, *, first: int = 0, slide: str = "") -> None:
    """Raise ValueError naming the first row that holds NaN or infinity; row 0 is tile `first`."""
    of_slide = f"{slide}: " if slide else ""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if bad.size:
        raise ValueError(
            f"E_NUMBER: {of_slide}the features of tile {first + bad[0]} are not finite, as of"
            f" {bad.size} of {len(features)} tiles: check the encoder's checkpoint and its"
            " precision, then extract them again"
        )
