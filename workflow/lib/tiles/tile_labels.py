"""The label of each tile of a slide: from evidence, or from what somebody marked on the slide."""

from collections import Counter
from collections.abc import Callable, Sequence
from math import ceil, floor
from pathlib import Path

import numpy as np

from workflow.lib.tiles.stores import create_group, write_rows

UNUSED = -1  # the label of a tile that nothing is learnt from
BAND_PX = 1 << 26  # pixels of a mask that are held at a time
ROUNDING = 1e-9  # 0.1 * 30 is a little above 3


def label_by_evidence(
    evidence: np.ndarray,
    good: np.ndarray,
    *,
    label: int,
    negative: int | None,
    top_share: float,
    bottom_share: float,
) -> np.ndarray:
    """Labels (N,) int64 of the tiles of a slide of class `label` from their evidence (N, C).

    Of the good tiles (N,) bool, the `top_share` with the most evidence for `label`, one at least,
    get it; the `bottom_share` with the least are `negative`, if there is such a class and at most
    what is left; the others and bad tiles are `UNUSED`. Of equal tiles the first is first. In a
    slide of the negative class all good tiles are negative.
    """
    labels, rows = np.full(len(good), UNUSED, np.int64), np.flatnonzero(good)
    if label == negative or not len(rows):
        labels[rows] = label
        return labels
    order = rows[np.argsort(-evidence[rows, label], kind="stable")]
    top = max(1, ceil(top_share * len(rows) - ROUNDING))
    labels[order[:top]] = label
    if negative is not None:
        bottom = min(floor(bottom_share * len(rows) + ROUNDING), len(rows) - top)
        labels[order[len(rows) - bottom :]] = negative
    return labels


def label_by_share(
    shares: np.ndarray, good: np.ndarray, *, label: int, negative: int, least: float
) -> np.ndarray:
    """Labels (N,) int64 from the share (N,) of each tile that is marked, in a slide of `label`.

    `label` where at least `least` of a tile is marked, else `negative`; a bad tile is `UNUSED`.
    """
    return np.where(good, np.where(shares >= least, label, negative), UNUSED).astype(np.int64)


def marked_shares(
    read: Callable[[tuple[int, int]], np.ndarray],
    positions_px: np.ndarray,
    *,
    tile_px: int,
    shape: tuple[int, int],
) -> np.ndarray:
    """The share (N,) float64 of each tile's pixels that is not 0 in the mask of its slide.

    read((first, last + 1)) gives these rows of the mask (h, w); positions_px (N, 2) are the
    top-left corners of the tiles in it; shape (height, width) is of the whole mask. What of a tile
    lies over the edge of the slide is not marked. The mask is read in bands, never whole.
    """
    shares = np.zeros(len(positions_px))
    for members in _bands(positions_px[:, 0], tile_px, max(tile_px, BAND_PX // shape[1])):
        first = int(positions_px[members, 0].min())
        last = min(int(positions_px[members, 0].max()) + tile_px, shape[0])
        marked = read((first, last)) != 0
        for index in members:
            y, x = positions_px[index] - (first, 0)
            shares[index] = marked[y : y + tile_px, x : x + tile_px].sum() / tile_px**2
    return shares


def write_labels(folder: Path, labels: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    """Write the labels (N,) of the tiles of a slide to its unit; how many tiles have each class."""
    group = create_group(folder / "tile_labels.zarr", {"classes": list(classes)})
    write_rows(group, "labels", labels.astype(np.int16))
    found = Counter(labels.tolist())
    return {name: found[index] for index, name in enumerate(classes)}


def _bands(tops: np.ndarray, tile_px: int, most: int) -> list[list[int]]:
    """Indices of tiles in bands of at most `most` rows, from the top down."""
    bands: list[list[int]] = []
    for index in np.argsort(tops, kind="stable").tolist():
        if not bands or tops[index] + tile_px - tops[bands[-1][0]] > most:
            bands.append([])
        bands[-1].append(index)
    return bands
