"""Colours that stay apart for colour-blind readers: classes, clusters, probabilities.

The first seven are those of Okabe and Ito, "Color Universal Design" (2008). Further ones are chosen
one by one, each as far as can be from all before it to the eye that tells them apart worst: normal,
protanopic, deuteranopic or tritanopic, as simulated by Machado, Oliveira and Fernandes, "A
physiologically-based model for simulation of color vision deficiency" (2009). Distances are in
Oklab (Ottosson, 2020).
"""

from functools import cache

import cv2
import numpy as np

RGB = tuple[int, int, int]

OKABE_ITO: tuple[RGB, ...] = (
    (0, 114, 178),  # blue
    (213, 94, 0),  # vermillion
    (0, 158, 115),  # bluish green
    (204, 121, 167),  # reddish purple
    (230, 159, 0),  # orange
    (86, 180, 233),  # sky blue
    (240, 228, 66),  # yellow
)
NO_DATA: RGB = (204, 204, 204)  # where nothing is known; no class or cluster gets a grey

# What a dichromat sees, as a matrix on linear RGB (Machado et al., severity 1.0).
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


@cache
def palette(count: int) -> tuple[RGB, ...]:
    """`count` different colours; a longer palette begins with the shorter ones.

    Up to seven are easily told apart by everyone, up to about a dozen with a legend beside them.
    """
    chosen = list(OKABE_ITO[:count])
    if count <= len(chosen):
        return tuple(chosen)
    candidates = _candidates()
    seen = _as_seen(candidates)
    nearest = np.min([_distance(seen, colour) for colour in _as_seen(np.array(chosen))], axis=0)
    while len(chosen) < count:
        best = int(nearest.argmax())
        if nearest[best] == 0:
            raise ValueError(f"There are no {count} different colours; {len(chosen)} is the most.")
        chosen.append(tuple(int(value) for value in candidates[best]))
        nearest = np.minimum(nearest, _distance(seen, seen[best]))
    return tuple(chosen)


def class_colour(index: int) -> RGB:
    """The colour of the class at this place of the config's list, everywhere the same."""
    return palette(index + 1)[index]


def hex_colour(colour: RGB) -> str:
    """For CSS and OME.

    >>> hex_colour((213, 94, 0))
    '#d55e00'
    """
    return "#" + bytes(colour).hex()


def probability_colours(probability: np.ndarray) -> np.ndarray:
    """Viridis: probabilities 0..1 of any shape to RGB uint8 (..., 3).

    Equal steps look equal, grey prints keep the order, and its greens and yellow stand out from
    the pinks and purples of H&E.
    """
    index = np.rint(np.clip(probability, 0, 1) * 255).astype(np.uint8)
    ramp = cv2.applyColorMap(np.arange(256, dtype=np.uint8), cv2.COLORMAP_VIRIDIS)
    return ramp.reshape(256, 3)[index][..., ::-1]


def oklab(colours: np.ndarray, vision: str = "normal") -> np.ndarray:
    """RGB 0..255 (..., 3) as an eye with this `vision` sees it, in Oklab (..., 3): L, a, b."""
    signal = np.asarray(colours, float) / 255
    linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ VISION[vision].T, 0, 1)
    return np.cbrt(linear @ _TO_LMS.T) @ _TO_OKLAB.T


def _as_seen(colours: np.ndarray) -> np.ndarray:
    """(N, 3) RGB to (N, visions, 3) Oklab."""
    return np.stack([oklab(colours, vision) for vision in VISION], axis=1)


def _distance(seen: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """How far (N, visions, 3) are from one colour, to the eye that sees least difference."""
    return np.linalg.norm(seen - colour, axis=-1).min(axis=-1)


def _candidates() -> np.ndarray:
    """Colours that show on white and under black text: neither pale, dark nor grey."""
    steps = np.linspace(0, 255, 9).round()
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    lightness, *ab = oklab(grid).T
    return grid[(lightness > 0.3) & (lightness < 0.92) & (np.hypot(*ab) > 0.05)]
