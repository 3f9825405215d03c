"""Heatmaps held against each other: where both looked, on one grid."""

import math

import numpy as np
import pytest

from workflow.lib.maps.heatmap_pairs import Apart, difference, grid_fault
from workflow.lib.tiles.codes import FULL

FACTS = {"shape": [2, 3], "mpp": 1.0, "scale_px0": 2.0, "height_px0": 4, "width_px0": 6}


def bands(codes, covered, rows=1):
    codes, covered = np.array(codes, np.uint16), np.array(covered, np.uint8)
    return [(y, codes[y : y + rows], covered[y : y + rows]) for y in range(0, len(codes), rows)]


def test_the_difference_is_over_what_both_cover():
    a = bands([[0, FULL, 5], [FULL, 0, 0]], [[1, 1, 0], [1, 1, 0]])
    b = bands([[FULL, FULL, 9], [0, 0, 0]], [[1, 1, 1], [0, 1, 0]])
    assert difference(a, b) == Apart(pytest.approx(1 / 3), both=3, either=5)
    assert difference(b, a) == difference(a, b)  # codes have no sign to lose
    assert difference(a, a).mean == 0


def test_nothing_covered_by_both_is_no_difference_at_all():
    apart = difference(bands([[1]], [[1]]), bands([[1]], [[0]]))
    assert math.isnan(apart.mean) and (apart.both, apart.either) == (0, 1)


def test_bands_that_do_not_end_together_are_an_error():
    with pytest.raises(ValueError):
        difference(bands([[1], [1]], [[1], [1]]), bands([[1]], [[1]]))


@pytest.mark.parametrize(
    "change", [{"shape": [2, 4]}, {"mpp": 0.5}, {"scale_px0": 1.0}, {"width_px0": 5}]
)
def test_other_grids_are_named(change):
    assert grid_fault(FACTS, FACTS | {"tiles": 3}) is None
    assert grid_fault(FACTS, FACTS | change).startswith("other grids: 2 x 3 px of 1 um and 2 x ")
