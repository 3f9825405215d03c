"""Resampling by area: every output pixel is the mean of what it covers, to any fraction."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from scipy.sparse import csr_array

COLUMNS = 128  # of the image at a time: what is held as float then stays in the processor's cache


def resample(
    image: np.ndarray, start: tuple[float, float], factor: float, shape: tuple[int, int]
) -> np.ndarray:
    """Part of an RGB `image` (h, w, 3) uint8, `factor` times smaller, as `shape` (h', w', 3) uint8.

    Output pixel (i, j) is the mean of `image` over the square of side `factor` whose corner is
    `start` + (i, j) * `factor`, both in px of `image`. With factor 1 and a whole `start` the pixels
    come through unchanged. OpenCV's INTER_AREA gives the same in less time, but only where it
    starts and ends on whole pixels: other tiles would be displaced by up to half of one.

    Raises ValueError when `image` does not reach as far.
    """
    ends = [begin + side * factor for begin, side in zip(start, shape, strict=True)]
    if min(start) < 0 or any(
        end > side + 1e-6 for end, side in zip(ends, image.shape[:2], strict=True)
    ):
        raise ValueError(f"an image of {image.shape[:2]} px ends before {start} to {ends}")
    if factor == 1 and _whole(start):
        top, left = (int(begin) for begin in start)
        return image[top : top + shape[0], left : left + shape[1]].copy()
    first = [math.floor(begin) for begin in start]
    last = [min(math.ceil(end), side) for end, side in zip(ends, image.shape[:2], strict=True)]
    image = image[first[0] : last[0], first[1] : last[1]]
    if factor == 2 and image.shape[:2] == (2 * shape[0], 2 * shape[1]):
        return halve(image)
    if factor > 1 and _whole(start) and _whole(ends):
        return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA)
    down, across = (
        _weights(begin - whole, factor, length, side)
        for begin, whole, length, side in zip(start, first, shape, image.shape[:2], strict=True)
    )
    height, width = image.shape[:2]
    # Columns of the image become rows here, so that both passes run along contiguous memory.
    turned = np.empty((width, shape[0], 3), np.float32)
    for left in range(0, width, COLUMNS):
        part = image[:, left : left + COLUMNS].reshape(height, -1).astype(np.float32)
        rows = (down @ part).reshape(shape[0], -1, 3)
        cv2.transpose(rows, turned[left : left + COLUMNS])
    mean = across @ turned.reshape(width, -1)
    pixels = cv2.convertScaleAbs(mean).reshape(shape[1], shape[0], 3)  # rounded, ties to even
    return cv2.transpose(pixels).reshape(*shape, 3)


def halve(image: np.ndarray) -> np.ndarray:
    """An image (2 h, 2 w, 3) uint8 as (h, w, 3) uint8: the mean of 2 x 2 px, ties to even."""
    shape = (image.shape[1] // 2, image.shape[0] // 2)
    up = cv2.resize(image, shape, interpolation=cv2.INTER_AREA)  # ties up, in integers
    down = cv2.resize(np.invert(image), shape, interpolation=cv2.INTER_AREA)
    np.invert(down, out=down)  # ties down: of the two that differ by 1, the even one is wanted
    odd = np.subtract(up, down, out=down)
    odd &= up
    return np.subtract(up, odd, out=up)


def _whole(places: Sequence[float]) -> bool:
    return all(float(place).is_integer() for place in places)


def _weights(start: float, factor: float, length: int, side: int) -> csr_array:
    """(length, side) float32: the share of each input pixel in each output pixel; rows sum to 1."""
    low = start + np.arange(length) * factor
    taps = math.ceil(factor) + 1
    pixel = np.floor(low).astype(np.int64)[:, None] + np.arange(taps)
    overlap = np.minimum(low[:, None] + factor, pixel + 1) - np.maximum(low[:, None], pixel)
    overlap = np.clip(overlap, 0, None)
    overlap[pixel >= side] = 0  # rounding errors of an output that ends where the image ends
    overlap /= overlap.sum(axis=1, keepdims=True)
    starts = np.arange(0, length * taps + 1, taps)
    return csr_array(
        (overlap.astype(np.float32).ravel(), np.minimum(pixel, side - 1).ravel(), starts),
        shape=(length, side),
    )
