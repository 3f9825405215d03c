"""Probabilities as they are stored."""

import numpy as np
import pytest

from workflow.lib.tiles.codes import to_codes


def test_codes_are_sixteen_bits_to_the_nearest():
    codes = to_codes(np.array([0.0, 0.5, 1.0, 1.0 + 1e-6, -1e-6, 0.4 / 65535, 0.6 / 65535]))
    assert codes.dtype == np.uint16
    assert codes.tolist() == [0, 32768, 65535, 65535, 0, 0, 1]


def test_a_code_for_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        to_codes(np.array([0.5, np.nan], np.float32))
