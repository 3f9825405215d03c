"""From overlapping tiles to one heatmap, band by band, so that no slide is ever held in memory.

Pixel (i, j) of the heatmap covers store rows [i*d, (i+1)*d) and columns [j*d, (j+1)*d), where d is
the downsample of the tile maps. A tile whose corner is no multiple of d lies between heatmap
pixels; each of its pixels is then shared among those it overlaps, by area. The result is what one
gets by blending at full store resolution and averaging blocks of d x d, without ever doing so.
"""

from collections.abc import Iterator

import numpy as np

from workflow.lib.tiles.codes import FULL

WINDOWS = ("hann", "flat")
_BATCH = 64  # tiles read at once

Band = tuple[int, np.ndarray, np.ndarray]


def heatmap_shape(height_px: int, width_px: int, downsample: int) -> tuple[int, int]:
    """Rows and columns of the heatmap that covers a slide of this size in store px.

    >>> heatmap_shape(100, 129, 4)
    (25, 33)
    """
    return -(-height_px // downsample), -(-width_px // downsample)


def window_weights(window: str, side: int) -> np.ndarray:
    """Weight of each of `side` pixels along one axis, (side,) float32, positive everywhere.

    "hann" fades towards the borders of a tile, where a network sees least context, yet never
    reaches 0: a pixel under a single tile keeps that tile's value. "flat" averages.
    """
    if window == "flat":
        return np.ones(side, np.float32)
    if window == "hann":
        return (np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2).astype(np.float32)
    raise ValueError(f"window is {window!r}; use one of {', '.join(WINDOWS)}.")


def stitch(
    probability: np.ndarray,
    positions_px: np.ndarray,
    shape: tuple[int, int],
    *,
    downsample: int,
    window: str,
    skip: np.ndarray | None = None,
) -> Iterator[Band]:
    """Blend tile maps into a heatmap of `shape` (H, W); yield it from top to bottom.

    `probability` (N, m, m) is uint16 (65535 = 1) or float 0..1, in memory or a zarr array: it is
    read in slices. `positions_px` (N, 2) holds the top-left (y, x) of each tile in store px, and a
    pixel of a map is `downsample` store px wide. Tiles may come in any order and overlap; what
    lies beyond the heatmap is cut, and tiles in `skip` (N,) bool are left out.

    Bands `(row0, probability (r, W) float32, covered (r, W) bool)` follow each other without gaps
    and end at row H. Where no tile lies, probability is 0 and covered is False; elsewhere it is
    the weighted mean of the tiles. Memory is O(m x W).

    Raises ValueError for maps that are not square, positions outside the slide or an unknown
    window.
    """
    count, *sides = probability.shape
    positions = np.asarray(positions_px, np.int64).reshape(-1, 2)
    if len(sides) != 2 or sides[0] != sides[1]:
        raise ValueError(f"Tile maps have shape {tuple(sides)}; they must be square (m, m).")
    if len(positions) != count:
        raise ValueError(f"There are {count} tile maps but {len(positions)} positions.")
    limits = np.array(shape, np.int64) * downsample
    if count and ((positions < 0) | (positions >= limits)).any():
        worst = positions[((positions < 0) | (positions >= limits)).any(axis=1)][0].tolist()
        raise ValueError(
            f"A tile starts at (y, x) = {worst} px, outside the slide of {limits.tolist()} px; "
            "the tiles and the heatmap belong to different slides."
        )
    weights = window_weights(window, sides[0])
    blend = _Blend(sides[0] + 1, shape)  # a tile between pixels touches one row more
    order = np.lexsort((positions[:, 1], positions[:, 0]))
    if skip is not None:
        order = order[~skip[order]]
    for (y, x), tile in _read(probability, positions, order):
        (row, above), (col, left) = divmod(int(y), downsample), divmod(int(x), downsample)
        yield from blend.finish(row)
        rows = _shared(weights, above / downsample)
        cols = _shared(weights, left / downsample)
        evidence = tile * weights[:, None] * weights
        evidence = _shared(_shared(evidence, above / downsample).T, left / downsample).T
        blend.add(col, evidence, rows[:, None] * cols)
    yield from blend.finish(shape[0])


class Tally:
    """Counts the pixels of a heatmap as it passes: `covered` by tiles, `marked` of those."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.covered = self.marked = 0

    def watch(self, bands: Iterator[Band]) -> Iterator[Band]:
        """The bands as they come; marked is what reaches the threshold."""
        for row0, probability, covered in bands:
            self.covered += int(covered.sum())
            self.marked += int((covered & (probability >= self.threshold)).sum())
            yield row0, probability, covered


def _read(
    probability: np.ndarray, positions: np.ndarray, order: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The positions in this order, each with its map as float32."""
    for start in range(0, len(order), _BATCH):
        part = order[start : start + _BATCH]
        if (np.diff(part) == 1).all():  # stored in row order, as tile stores are
            block = np.asarray(probability[int(part[0]) : int(part[-1]) + 1])
        else:
            block = np.stack([np.asarray(probability[int(i)]) for i in part])
        scale = FULL if block.dtype == np.uint16 else 1
        for index, tile in zip(part, block, strict=True):
            yield positions[index], tile.astype(np.float32) / np.float32(scale)


def _shared(values: np.ndarray, offset: float) -> np.ndarray:
    """Move `values` down by `offset` pixels (0 <= offset < 1), shared by area with the next."""
    if offset == 0:
        return values
    shared = np.zeros((len(values) + 1, *values.shape[1:]), np.float32)
    shared[:-1] = (1 - offset) * values
    shared[1:] += offset * values
    return shared


class _Blend:
    """The rows that further tiles may still touch: sums of weighted values and of weights."""

    def __init__(self, height: int, shape: tuple[int, int]) -> None:
        self.rows, self.cols = shape
        self.row0 = 0
        self.sums = np.zeros((height, self.cols), np.float32)
        self.weights = np.zeros((height, self.cols), np.float32)

    def add(self, col: int, evidence: np.ndarray, weights: np.ndarray) -> None:
        """Add a tile whose first row is the first of the rows held."""
        height, width = len(evidence), min(evidence.shape[1], self.cols - col)
        self.sums[:height, col : col + width] += evidence[:, :width]
        self.weights[:height, col : col + width] += weights[:, :width]

    def finish(self, row: int) -> Iterator[Band]:
        """The rows above `row`, which no later tile reaches."""
        while self.row0 < row:
            height = min(row - self.row0, len(self.sums))
            sums, weights = self.sums[:height], self.weights[:height]
            covered = weights > 0
            mean = np.divide(sums, weights, out=np.zeros_like(sums), where=covered)
            yield self.row0, mean, covered
            for held in (self.sums, self.weights):
                held[:-height] = held[height:]
                held[len(held) - height :] = 0
            self.row0 += height
