"""Tiles cut from pixels: from the levels of a slide, from masks, from heatmaps, from tile maps."""

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import zarr

from workflow.lib.maps.pyramids import COVERAGE, count_levels
from workflow.lib.slides.resampling import resample
from workflow.lib.slides.slides import SlideReader
from workflow.lib.tiles.codes import FULL
from workflow.lib.viewer.deepzoom import Box

MOST = 8  # times as coarse as its level a tile may be, 50 MB; further off the thumbnail is drawn
NEAR = 1.01  # a level of which a pixel is 1% too wide is fine enough: slides round their sizes


def cut_slide(reader: SlideReader, box: Box, thumbnail: np.ndarray) -> np.ndarray:
    """The pixels of a slide as (h, w, 3) uint8, averaged by area from the nearest finer level.

    Where no level comes near, as in a slide of one level seen from afar, `thumbnail` (h', w', 3),
    which is the whole slide, is drawn instead: its pixels are means already.
    """
    fine = [k for k, level in enumerate(reader.levels) if level.downsample <= box.step_px0 * NEAR]
    number = max(fine, key=lambda k: reader.levels[k].downsample)
    factor = box.step_px0 / reader.levels[number].downsample
    if factor > MOST:
        return cut_picture(thumbnail, (reader.height_px0, reader.width_px0), box)
    begin = [side / reader.levels[number].downsample for side in box.origin_px0]
    first = [math.floor(at) for at in begin]
    shape = [
        math.ceil(at + side * factor) - whole
        for at, side, whole in zip(begin, box.shape, first, strict=True)
    ]
    region = reader.read(box.origin_px0, (shape[0], shape[1]), number)
    start = (begin[0] - first[0], begin[1] - first[1])
    return resample(region, start, factor, box.shape)


def cut_picture(picture: np.ndarray, size_px0: tuple[int, int], box: Box) -> np.ndarray:
    """A tile (h, w, 3) uint8 of a picture (h', w', 3) that is all of a slide."""
    steps = [side0 / side for side0, side in zip(size_px0, picture.shape[:2], strict=True)]
    down, across = (box.step_px0 / step for step in steps)
    y, x = (at / step for at, step in zip(box.origin_px0, steps, strict=True))
    return _warp(picture, (y, x), (down, across), box.shape)


def cut_mask(mask: np.ndarray, size_px0: tuple[int, int], box: Box) -> np.ndarray:
    """The labels of a mask (h', w') uint8 at the centres of a tile's pixels, (h, w) uint8.

    The mask is a slide of `size_px0` from edge to edge; beyond it there is 0.
    """
    at = [
        ((origin + (np.arange(side) + 0.5) * box.step_px0) * length / side0).astype(int)
        for origin, side, length, side0 in zip(
            box.origin_px0, box.shape, mask.shape, size_px0, strict=True
        )
    ]
    inside = [places[places < length] for places, length in zip(at, mask.shape, strict=True)]
    labels = np.zeros(box.shape, np.uint8)
    labels[: len(inside[0]), : len(inside[1])] = mask[np.ix_(*inside)]
    return labels


def cut_heatmap(group: zarr.Group, scale_px0: float, box: Box) -> np.ndarray:
    """Probability 0..1, (h, w) float32, of a written heatmap; 0 where no tile was looked at.

    `scale_px0` is how many level-0 px wide a pixel of its finest level is.
    """
    level = min(count_levels(group) - 1, max(0, math.floor(math.log2(box.step_px0 / scale_px0))))
    step_px0 = scale_px0 * 2**level
    scores, coverage = group[f"s{level}"], group[f"{COVERAGE}/s{level}"]
    factor = box.step_px0 / step_px0
    begin = [at / step_px0 for at in box.origin_px0]
    first = [max(0, math.floor(at) - 1) for at in begin]
    last = [math.ceil(at + side * factor) + 1 for at, side in zip(begin, box.shape, strict=True)]
    window = tuple(slice(*ends) for ends in zip(first, last, strict=True))
    found = np.where(coverage[window] > 0, scores[(0, *window)], 0) / np.float32(FULL)
    if not found.size:
        return np.zeros(box.shape, np.float32)
    start = [at - whole for at, whole in zip(begin, first, strict=True)]
    return _warp(found, start, (factor, factor), box.shape)


def tiles_in(
    corners_px0: np.ndarray, side_px0: float, box: Box
) -> Iterator[tuple[int, tuple[int, int, int, int]]]:
    """The tiles that a box meets: number, and where on it they lie, y0, x0, y1, x1 in its px.

    `corners_px0` (N, 2) are top-left (y, x). Corners are rounded, not sizes, so that neighbours
    meet without a gap; what lies beyond the box is not cut off.
    """
    low = np.rint((corners_px0 - box.origin_px0) / box.step_px0).astype(np.int64)
    high = np.rint((corners_px0 + side_px0 - box.origin_px0) / box.step_px0).astype(np.int64)
    met = ((high > 0) & (low < box.shape) & (high > low)).all(axis=1)
    for index in np.flatnonzero(met):
        yield int(index), (*low[index].tolist(), *high[index].tolist())


def cut_clusters(
    assignments: np.ndarray, corners_px0: np.ndarray, side_px0: float, box: Box
) -> np.ndarray:
    """The cluster + 1 under each pixel, (h, w) int32; 0 where no tile lies."""
    found = np.zeros(box.shape, np.int32)
    for index, (y0, x0, y1, x1) in tiles_in(corners_px0, side_px0, box):
        found[max(y0, 0) : y1, max(x0, 0) : x1] = assignments[index] + 1
    return found


def cut_cams(
    maps: zarr.Array, channel: int, corners_px0: np.ndarray, side_px0: float, box: Box
) -> np.ndarray:
    """Raw evidence of a class under each pixel, (h, w) float32; NaN where no tile lies.

    `maps` (N, C, m, n) is read from the first to the last tile that the box meets: tiles are
    stored row by row of the slide.
    """
    found = np.full(box.shape, np.nan, np.float32)
    met = list(tiles_in(corners_px0, side_px0, box))
    if not met:
        return found
    first = met[0][0]
    block = maps[first : met[-1][0] + 1, channel]
    for index, (y0, x0, y1, x1) in met:
        drawn = cv2.resize(block[index - first].astype(np.float32), (x1 - x0, y1 - y0))
        part = drawn[max(-y0, 0) : box.shape[0] - y0, max(-x0, 0) : box.shape[1] - x0]
        found[max(y0, 0) : y1, max(x0, 0) : x1] = part
    return found


def _warp(
    picture: np.ndarray, start: Sequence[float], steps: tuple[float, float], shape: tuple[int, int]
) -> np.ndarray:
    """Part of a picture as `shape`, linear between its pixels; its edge goes on for ever.

    `start` (y, x) and `steps` (down, across) are in px of the picture, from corner to corner.
    """
    (y, x), (down, across) = start, steps
    back = np.array([[across, 0, x + across / 2 - 0.5], [0, down, y + down / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, back, shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
