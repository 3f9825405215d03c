"""Pseudo-masks: the part of the evidence that is sure enough to train on, and how sure it is."""

import numpy as np
from scipy.special import entr

FOREGROUND, BACKGROUND, IGNORE = 1, 0, 255
USUAL_FOREGROUND = (0.001, 0.9)  # share of a slide; outside it a cam rarely means anything


def threshold_cams(cams: np.ndarray, *, foreground: float, background: float) -> np.ndarray:
    """Masks (N, t, t) uint8 from evidence (N, t, t) in 0..1.

    1 where the evidence is at least `foreground`, 0 where it is below `background`, and 255
    (ignore) between. Raises ValueError when the thresholds cross.
    """
    if not 0 <= background <= foreground <= 1:
        raise ValueError(
            f"foreground is {foreground} and background {background}; "
            "they need 0 <= background <= foreground <= 1"
        )
    masks = np.full(cams.shape, IGNORE, dtype=np.uint8)
    masks[cams < background] = BACKGROUND
    masks[cams >= foreground] = FOREGROUND
    return masks


def entropy_bits(cams: np.ndarray) -> np.ndarray:
    """Binary entropy of evidence in 0..1, same shape, in bits: 0 decided, 1 at one half."""
    cams = np.asarray(cams, dtype=np.float64)
    return (entr(cams) + entr(1 - cams)) / np.log(2)


class Quality:
    """Running tally over the pseudo-masks of one slide, so that no slide is held in memory."""

    def __init__(self) -> None:
        self.pixels = 0
        self.foreground = 0
        self.background = 0
        self.entropy = 0.0

    def add(self, masks: np.ndarray, cams: np.ndarray) -> None:
        """Count masks (n, t, t) and the evidence (n, t, t) that they were cut from."""
        self.pixels += masks.size
        self.foreground += int(np.count_nonzero(masks == FOREGROUND))
        self.background += int(np.count_nonzero(masks == BACKGROUND))
        self.entropy += float(entropy_bits(cams).sum())

    def facts(self) -> dict[str, float | None]:
        """Shares of all pixels, and the mean entropy in bits; None for a slide without tiles."""
        if not self.pixels:
            return dict.fromkeys(("coverage_fg", "coverage_bg", "ignored", "entropy"))
        return {
            "coverage_fg": self.foreground / self.pixels,
            "coverage_bg": self.background / self.pixels,
            "ignored": (self.pixels - self.foreground - self.background) / self.pixels,
            "entropy": self.entropy / self.pixels,
        }
