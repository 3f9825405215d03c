"""Near-duplicate slides: the same tissue under two names, turned, mirrored or encoded anew.

Two steps, as in copy detection. A 64-bit hash, the signs of the lowest frequencies of a discrete
cosine transform (after Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions,
2010), finds candidates among all pairs. A mirrored picture has the same coefficients with other
signs and a transposed one has them transposed, so the hashes of all eight symmetries come from one
transform. A candidate counts when the fine structure of the tissue correlates as well.

Glass counts for nothing in either step: cores, crops and drawn slides have the same outline.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import cv2
import numpy as np
from scipy.fft import dctn

SIDE_PX = 64  # of the picture that is compared; different slides are told apart from 32 px on
FINE_PX = 3.0  # sigma; what varies more slowly (a dark tumour in pale stroma) says little
HASHED_PX = 32  # side of the picture that is transformed, as published
LOWEST = 8  # frequencies along each axis that are kept, as published
MIN_TISSUE_PX = 200  # of SIDE_PX squared; less shows too little to be told from anything
SYMMETRIES = 8
BLOCK = 1 << 10  # slides whose hashes are compared at a time with all the others

Look = tuple[np.ndarray, np.ndarray]


class Twins(NamedTuple):
    """Two slides that show the same tissue; `correlation` of their fine structure, at most 1."""

    first: str
    second: str
    correlation: float


def look(rgb: np.ndarray, tissue: np.ndarray) -> Look | None:
    """What is compared of a slide: hashes (8,) uint64 and fine structure (64, 64) float32.

    rgb: thumbnail (h, w, 3) uint8; tissue: (h, w) bool. None where there is too little tissue, or
    nothing on it. The fine structure has length 1 and is 0 on glass.
    """
    size = (SIDE_PX, SIDE_PX)
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    share = cv2.resize(tissue.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(grey * tissue, size, interpolation=cv2.INTER_AREA)
    seen = share > 0.5
    if min(rgb.shape[:2]) < HASHED_PX or np.count_nonzero(seen) < MIN_TISSUE_PX:
        return None
    picture = np.where(seen, mean / np.maximum(share, 0.5), 0).astype(np.float32)
    picture[seen] -= picture[seen].mean()
    blurred, weight = (
        cv2.GaussianBlur(part, (0, 0), FINE_PX, borderType=cv2.BORDER_REFLECT)
        for part in (picture, seen.astype(np.float32))
    )
    fine = np.where(seen, picture - blurred / np.maximum(weight, 1e-3), 0).astype(np.float32)
    length = float(np.linalg.norm(fine))
    if length < 1e-3 * SIDE_PX:  # a thousandth of a grey level
        return None
    return hashes(picture), fine / np.float32(length)


def turn(picture: np.ndarray, symmetry: int) -> np.ndarray:
    """A square picture (n, n) turned by one of eight symmetries; 0 changes nothing."""
    picture = picture.T if symmetry & 4 else picture
    picture = picture[::-1] if symmetry & 1 else picture
    return picture[:, ::-1] if symmetry & 2 else picture


def hashes(picture: np.ndarray) -> np.ndarray:
    """The hashes (8,) uint64 of `turn(picture, 0)` to `turn(picture, 7)`, from one transform.

    A bit is the sign of a coefficient. The mean is no sign of anything; in its place stands the
    coefficient that follows on the diagonal.
    """
    small = cv2.resize(picture, (HASHED_PX, HASHED_PX), interpolation=cv2.INTER_AREA)
    coefficients = dctn(small.astype(np.float64), norm="ortho")
    signs = coefficients[:LOWEST, :LOWEST] > 0
    signs[0, 0] = coefficients[LOWEST, LOWEST] > 0
    odd = np.arange(LOWEST) % 2 == 1
    found = np.empty(SYMMETRIES, np.uint64)
    for symmetry in range(SYMMETRIES):
        turned = signs.T if symmetry & 4 else signs
        turned = turned ^ odd[:, None] if symmetry & 1 else turned
        turned = turned ^ odd[None, :] if symmetry & 2 else turned
        found[symmetry] = np.packbits(turned.ravel()).view(np.uint64)[0]
    return found


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Bits (N, M) int by which hashes (N, 8) and (M, 8) differ where they fit best."""
    found = np.full((len(first), len(second)), 64, np.uint8)
    for symmetry in range(SYMMETRIES):
        differing = np.bitwise_count(first[:, None, 0] ^ second[None, :, symmetry])
        np.minimum(found, differing, out=found)
    return found.astype(int)


def find_twins(
    looks: Mapping[str, Look], *, hash_distance: int, correlation: float
) -> Iterator[Twins]:
    """Every two slides that look alike, sorted.

    hash_distance: bits of 64 by which candidates may differ; correlation: of the fine structure,
    under the best symmetry, from which on a candidate is a twin.
    """
    names = sorted(looks)
    codes = np.array([looks[name][0] for name in names], np.uint64).reshape(-1, SYMMETRIES)
    for start in range(0, len(names), BLOCK):
        near = distances(codes[start : start + BLOCK], codes) <= hash_distance
        for row, other in np.argwhere(near):
            if (one := start + row) < other:
                fine, against = (looks[names[index]][1] for index in (one, other))
                best = max(float(np.vdot(fine, turn(against, s))) for s in range(SYMMETRIES))
                if best >= correlation:
                    yield Twins(names[one], names[other], min(best, 1.0))
