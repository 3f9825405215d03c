"""How much a pixel counts in the loss of a U-Net (Ronneberger et al., MICCAI 2015).

w(x) = w_c(x) + w0 * exp(-(d1(x) + d2(x))^2 / (2 sigma^2)), where w_c gives both classes the same
say, and d1 and d2 are how far the outlines of the nearest and of the second nearest object are.
"""

import math

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects

REACH = 5  # deviations of d1 + d2 beyond which the border term is nothing: exp(-12.5) of its peak


def border_term(instances: np.ndarray, *, weight: float, sigma_px: float) -> np.ndarray:
    """The second term of w, (h, w) float32, of objects (h, w) int, 0 between them.

    weight: w0. Distances, and sigma_px, are in pixels of the map, from the centre of a pixel to the
    outline of an object, from within as from without: across a gap of k pixels they add up to k,
    where objects touch to 1, and deeper in an object to more. With fewer than two objects in reach
    it is 0.
    """
    nearest, second = np.full((2, *instances.shape), np.inf, np.float32)
    reach = reach_px(sigma_px)
    for number, box in enumerate(find_objects(instances), start=1):
        if box is None:
            continue
        near = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
        own = instances[near] == number
        if own.all():
            continue  # no outline in reach
        distance = distance_transform_edt(own) + distance_transform_edt(~own) - 0.5
        second[near] = np.minimum(second[near], np.maximum(nearest[near], distance))
        nearest[near] = np.minimum(nearest[near], distance)
    return np.float32(weight) * np.exp(-((nearest + second) ** 2) / (2 * sigma_px**2))


def reach_px(sigma_px: float) -> int:
    """How far from a pixel an object can be and still count in its border term."""
    return math.ceil(REACH * sigma_px)


def balance(counts: np.ndarray) -> np.ndarray:
    """w_c of each class, from how many pixels it has: half of all, divided by its own.

    >>> balance(np.array([30, 10])).round(3).tolist()
    [0.667, 2.0]
    """
    return counts.sum() / (len(counts) * counts)
