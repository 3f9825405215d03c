"""Which square of a slide a tile shows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.viewer.deepzoom import TILE_PX, Box, Pyramid, power_below


def test_tiles_of_a_slide_by_hand():
    """1025 x 600 px: 11 halvings, 3 x 2 tiles on the last level, the last of a row 1 px wide.

    Beside its own 512 px a tile shows one of each neighbour.
    """
    pyramid = Pyramid((600, 1025))
    assert pyramid.last == 11 and pyramid.first == 9 and pyramid.shape == (600, 1025)
    assert pyramid.tile(11, 1, 2) == Box((511, 1023), (89, 2), 1)
    assert pyramid.tile(11, 0, 1) == Box((0, 511), (513, 514), 1)
    assert pyramid.tile(10, 0, 0) == Box((0, 0), (300, 513), 2)
    assert pyramid.tile(10, 0, 1) == Box((0, 1022), (300, 2), 2)
    assert pyramid.tile(9, 0, 0) == Box((0, 0), (150, 257), 4)
    assert pyramid.tile(0, 0, 0) == Box((0, 0), (1, 1), 2048)


def test_a_layer_that_is_coarser_than_the_slide_ends_sooner():
    pyramid = Pyramid((600, 1025), finest_px0=8)
    assert pyramid.shape == (75, 129) and pyramid.last == 8 == pyramid.first
    assert pyramid.tile(8, 0, 0) == Box((0, 0), (75, 129), 8)
    assert pyramid.tile(7, 0, 0) == Box((0, 0), (38, 65), 16)


@pytest.mark.parametrize(
    "place", [(12, 0, 0), (-1, 0, 0), (11, 2, 0), (11, 0, 3), (11, -1, 0), (0, 0, 1)]
)
def test_there_is_no_tile_outside(place):
    with pytest.raises(LookupError, match="no level|no tile"):
        Pyramid((600, 1025)).tile(*place)


@settings(max_examples=40)
@given(st.integers(1, 2000), st.integers(1, 2000), st.sampled_from([1, 2, 16]), st.data())
def test_the_tiles_of_a_level_cover_it_and_meet_in_two_pixels(height, width, finest, data):
    pyramid = Pyramid((height, width), finest)
    level = data.draw(st.integers(pyramid.first, pyramid.last))
    step = finest << (pyramid.last - level)
    sides = [-(-side // step) for side in (height, width)]
    seen = np.zeros(sides, np.uint8)
    for row in range(-(-sides[0] // TILE_PX)):
        for column in range(-(-sides[1] // TILE_PX)):
            box = pyramid.tile(level, row, column)
            assert box.step_px0 == step
            y, x = (at // step for at in box.origin_px0)
            seen[y : y + box.shape[0], x : x + box.shape[1]] += 1
    borders = [
        1 + ((np.arange(side) + 1) % TILE_PX < 2) * (np.arange(side) >= TILE_PX - 1)
        for side in sides
    ]
    for border, side in zip(borders, sides, strict=True):
        if side % TILE_PX == 0:
            border[-1] = 1  # no tile follows
    assert (seen == np.outer(*borders)).all()


def test_powers_below():
    assert [power_below(step) for step in (0.3, 1.0, 2.1, 4.0, 224.0)] == [1, 1, 2, 4, 128]
