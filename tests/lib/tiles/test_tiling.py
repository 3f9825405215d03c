"""The tile grid: it covers the slide, keeps its order and knows where it is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.tiles.tiling import TileSpec, grid, origins, tissue_fraction


def make_spec(height_px0, width_px0, *, slide_mpp=1.0, mpp=1.0, tile_px=4, stride_px=None):
    return TileSpec(
        width_px0=width_px0,
        height_px0=height_px0,
        slide_mpp=slide_mpp,
        mpp=mpp,
        tile_px=tile_px,
        stride_px=stride_px or tile_px,
    )


@st.composite
def specs(draw, max_side=400):
    tile_px = draw(st.integers(1, 40))
    return make_spec(
        draw(st.integers(1, max_side)),
        draw(st.integers(1, max_side)),
        slide_mpp=draw(st.sampled_from([0.1, 0.23, 0.25, 0.499, 1.0])),
        mpp=draw(st.sampled_from([0.25, 0.3, 0.5, 1.0, 2.0])),
        tile_px=tile_px,
        stride_px=draw(st.integers(1, tile_px)),
    )


def test_the_last_row_and_column_are_shifted_inwards():
    assert grid(make_spec(6, 9)).tolist() == [[0, 0], [0, 4], [0, 5], [2, 0], [2, 4], [2, 5]]


def test_overlapping_tiles():
    assert grid(make_spec(4, 9, stride_px=2))[:, 1].tolist() == [0, 2, 4, 5]


def test_a_slide_smaller_than_a_tile_has_one():
    assert grid(make_spec(3, 2)).tolist() == [[0, 0]]


def test_a_slide_of_whole_tiles_has_no_extra_one():
    assert grid(make_spec(8, 8)).tolist() == [[0, 0], [0, 4], [4, 0], [4, 4]]


@given(specs(max_side=90))
def test_the_grid_covers_every_pixel_inside_and_in_row_order(spec):
    positions = grid(spec)
    assert positions.dtype == np.int64
    for side, at in zip((spec.height_px, spec.width_px), positions.T, strict=True):
        corners = np.unique(at)
        covered = np.zeros(side, bool)
        for corner in corners:
            covered[corner : corner + spec.tile_px] = True
        assert covered.all()
        assert corners[0] == 0
        assert corners[-1] + spec.tile_px <= max(side, spec.tile_px)
        assert (corners[:-1] % spec.stride_px == 0).all()
    rows, columns = np.unique(positions[:, 0]), np.unique(positions[:, 1])
    assert positions.tolist() == [[y, x] for y in rows for x in columns]


@given(specs())
def test_store_pixels_reach_the_edges_of_the_slide_and_no_further(spec):
    for side_px, side_px0 in ((spec.height_px, spec.height_px0), (spec.width_px, spec.width_px0)):
        assert side_px * spec.scale >= side_px0 - 1e-3
        assert side_px == 1 or (side_px - 1) * spec.scale < side_px0


@given(
    st.floats(1.0, 64.0, exclude_min=True),
    st.lists(st.integers(0, 10**6), min_size=2, max_size=2),
)
def test_origins_lead_back_to_positions(scale, position):
    spec = make_spec(1, 1, slide_mpp=0.25, mpp=0.25 * scale)
    positions = np.array([position])
    origin = origins(spec, positions)
    assert origin.dtype == np.int64
    assert abs(origin - positions * spec.scale).max() <= 0.5
    assert np.rint(origin / spec.scale).astype(int).tolist() == [position]


def test_the_scale_is_exact_where_the_pixel_sizes_are():
    assert make_spec(9, 9, slide_mpp=0.1, mpp=0.3).scale == 3.0
    assert make_spec(9, 9, slide_mpp=0.1, mpp=0.3).height_px == 3
    assert make_spec(10, 10, slide_mpp=0.499, mpp=0.5).scale == 0.5 / 0.499


def test_attributes_are_plain_and_complete():
    found = make_spec(100, 50, slide_mpp=0.5, mpp=1.0, tile_px=16, stride_px=8).attributes()
    assert found == {
        "mpp": 1.0,
        "tile_px": 16,
        "stride_px": 8,
        "scale": 2.0,
        "width_px": 25,
        "height_px": 50,
        "width_px0": 50,
        "height_px0": 100,
    }


def test_a_slide_coarser_than_the_study_is_quarantined_with_both_values():
    spec = make_spec(100, 100, slide_mpp=28.97, mpp=0.5)
    with pytest.raises(Quarantine, match=r"camelyon has 28.97 um .* asks for 0.5.* 57.94 times"):
        spec.check_upsampling(1.1, slide="camelyon")
    make_spec(100, 100, slide_mpp=0.55, mpp=0.5).check_upsampling(1.1, slide="a")
    make_spec(100, 100, slide_mpp=0.25, mpp=0.5).check_upsampling(1.0, slide="a")
    with pytest.raises(Quarantine, match="E_COARSE"):
        make_spec(100, 100, slide_mpp=0.51, mpp=0.5).check_upsampling(1.0, slide="a")


@pytest.mark.parametrize("stride_px", [0, 5, -1])
def test_a_stride_that_leaves_gaps_is_refused(stride_px):
    with pytest.raises(ValueError, match=f"stride_px {stride_px}"):
        TileSpec(9, 9, slide_mpp=1.0, mpp=1.0, tile_px=4, stride_px=stride_px)


def test_tissue_fraction_by_hand():
    mask = np.array([[1, 0], [0, 0]], bool)  # a mask pixel is 4 x 4 px of the slide
    spec = make_spec(8, 8)
    positions = np.array([[0, 0], [0, 2], [2, 2], [4, 4], [1, 0]])
    assert tissue_fraction(mask, spec, positions).tolist() == [1.0, 0.5, 0.25, 0.0, 0.75]


def test_padding_outside_of_the_slide_is_no_tissue():
    found = tissue_fraction(np.ones((1, 1), bool), make_spec(2, 4), np.array([[0, 0]]))
    assert found.tolist() == [0.5]


@given(specs(max_side=60), st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_tissue_fraction_is_the_exact_shared_area(spec, height, width, seed):
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    positions = grid(spec)
    positions = positions[:: max(1, len(positions) // 5)]
    found = tissue_fraction(mask, spec, positions)
    for position, fraction in zip(positions, found, strict=True):
        weights = []
        for at, cells, side_px0 in zip(
            position, mask.shape, (spec.height_px0, spec.width_px0), strict=True
        ):
            low, high = at * spec.scale, (at + spec.tile_px) * spec.scale
            edges = np.arange(cells + 1) * side_px0 / cells
            shared = np.minimum(high, edges[1:]) - np.maximum(low, edges[:-1])
            weights.append(np.clip(shared, 0, None) / (high - low))
        assert math.isclose(fraction, weights[0] @ mask @ weights[1], abs_tol=1e-5)
    assert found.dtype == np.float32


def test_no_positions_give_no_fractions():
    assert tissue_fraction(np.ones((2, 2), bool), make_spec(8, 8), np.zeros((0, 2), int)).shape == (
        0,
    )
