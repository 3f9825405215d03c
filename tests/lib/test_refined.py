"""Refined masks as they are stored."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.refined import shrink, to_codes


def test_shrinking_averages_areas():
    tile = torch.tensor([[[0.0, 1.0, 0.5, 0.5], [1.0, 0.0, 0.5, 0.5]] * 2])
    assert shrink(tile, 2).tolist() == [[[0.5, 0.5], [0.5, 0.5]]]
    assert shrink(tile, 4).tolist() == [[[0.5]]]
    assert torch.equal(shrink(tile, 1), tile)


@given(st.integers(0, 3), st.sampled_from([1, 2, 4, 8]))
def test_shrinking_keeps_the_mean(batch, downsample):
    tile = torch.rand(batch, 16, 16, generator=torch.Generator().manual_seed(batch))
    small = shrink(tile, downsample)
    assert small.shape == (batch, 16 // downsample, 16 // downsample)
    assert torch.allclose(small.mean(dim=(1, 2)), tile.mean(dim=(1, 2)), atol=1e-6)


@pytest.mark.parametrize("downsample", [0, 3, 32])
def test_a_downsample_that_would_cut_pixels_off_is_refused(downsample):
    with pytest.raises(ValueError, match="does not divide the tile's 16 px"):
        shrink(torch.zeros(1, 16, 16), downsample)


def test_codes_are_sixteen_bits_to_the_nearest():
    codes = to_codes(np.array([0.0, 0.5, 1.0, 1.0 + 1e-6, -1e-6, 0.4 / 65535, 0.6 / 65535]))
    assert codes.dtype == np.uint16
    assert codes.tolist() == [0, 32768, 65535, 65535, 0, 0, 1]


def test_a_code_for_not_a_number_is_refused():
    with pytest.raises(ValueError, match="not a number"):
        to_codes(np.array([0.5, np.nan], np.float32))
