"""Probabilities as they are stored: 16-bit codes."""

import numpy as np

FULL = 65535  # the code of probability 1


def to_codes(probability: np.ndarray) -> np.ndarray:
    """uint16 codes, probability * 65535 to the nearest, of any shape in 0..1.

    Raises ValueError for a value that is not a number.
    """
    if np.isnan(probability).any():
        raise ValueError("a probability is not a number; train what it comes from anew")
    return np.rint(np.clip(probability, 0.0, 1.0) * FULL).astype(np.uint16)
