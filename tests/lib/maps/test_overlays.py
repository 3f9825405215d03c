"""Overlays: colours where the probability is, in the right place, and a legend that tells it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.maps.overlays import (
    INK,
    OPACITY,
    blend,
    legend,
    length_text,
    outline,
    place,
    scale_length_um,
)
from workflow.lib.report.colours import oklab


def test_nothing_is_drawn_where_nothing_is_seen():
    picture = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(blend(picture, np.zeros((6, 5))), picture)


def test_certainty_is_yellow_over_what_is_below():
    picture = np.full((1, 1, 3), 100, np.uint8)
    expected = np.array([253, 231, 37]) * OPACITY + 100 * (1 - OPACITY)
    np.testing.assert_allclose(blend(picture, np.ones((1, 1)))[0, 0], expected, atol=1.5)


def test_opacity_grows_with_the_probability():
    black, white = (np.full((1, 11, 3), value, np.uint8) for value in (0, 255))
    steps = np.linspace(0, 1, 11)[None]
    shows_through = blend(white, steps).astype(int) - blend(black, steps)
    assert (np.diff(shows_through.mean(axis=2)[0]) < 0).all()


def test_place_without_scaling_is_the_heatmap():
    heatmap = np.random.default_rng(0).random((7, 9)).astype(np.float32)
    np.testing.assert_allclose(place(heatmap, (7, 9), step_px=(1.0, 1.0)), heatmap, atol=1e-6)


def test_place_by_hand():
    """Corners coincide: three px of the picture lie on each px of the heatmap."""
    heatmap = np.array([[0.0, 1.0]], np.float32)
    placed = place(heatmap, (3, 6), step_px=(1 / 3, 1 / 3))
    np.testing.assert_allclose(placed[1], [0, 0, 1 / 3, 2 / 3, 1, 2 / 3], atol=0.02)


@given(
    st.floats(0.3, 2.0),
    st.floats(0.3, 2.0),
    st.tuples(st.floats(0.25, 0.75), st.floats(0.25, 0.75)),
)
def test_a_hill_stays_at_its_place(down, across, where):
    shape, size = np.array((60, 80)), np.array((round(60 / down), round(80 / across)))
    y, x = np.indices(shape) + 0.5
    centre = shape * where
    hill = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / 18)
    placed = place(hill, tuple(size.tolist()), step_px=(down, across))
    found = (np.indices(size) * placed).sum(axis=(1, 2)) / placed.sum() + 0.5
    np.testing.assert_allclose(found * (down, across), centre, atol=0.3)


def test_outline_is_a_thin_line_around_the_tissue():
    picture = np.full((90, 120, 3), 255, np.uint8)
    tissue = np.zeros((30, 40), bool)
    tissue[10:20, 10:30] = True
    drawn = outline(picture, tissue)
    assert (picture == 255).all()
    dark = drawn.mean(axis=2) < 200
    assert not dark[:24].any()
    assert not dark[36:54, 36:84].any()
    row = np.flatnonzero(dark[45])
    assert len(row) <= 6
    np.testing.assert_allclose((row.min(), row.max()), (30, 89), atol=2)


def test_no_tissue_no_outline():
    picture = np.full((9, 9, 3), 250, np.uint8)
    np.testing.assert_array_equal(outline(picture, np.zeros((3, 3), bool)), picture)


@given(st.floats(1.0, 1e6))
def test_scale_bars_are_round_and_about_a_quarter(width_um):
    length = scale_length_um(width_um)
    assert width_um / 10.1 <= length <= width_um / 4
    assert f"{length:e}"[0] in "125"


def test_lengths_in_words():
    assert [length_text(um) for um in (0.5, 200.0, 1000.0)] == ["0.5 µm", "200 µm", "1 mm"]


@pytest.mark.parametrize("width", [64, 274, 1024, 4000])
def test_the_scale_bar_is_as_long_as_it_says(width):
    um_per_px = 2.0
    strip = legend(width, um_per_px=um_per_px, name="tumour", quantity="probability")
    assert strip.dtype == np.uint8
    assert strip.shape[1:] == (width, 3)
    left = strip[:, : width // 3]
    lines = (left == INK).all(axis=2).sum(axis=1)  # dark pixels of each row; the bar has most
    np.testing.assert_allclose(lines.max(), scale_length_um(width * um_per_px) / um_per_px, atol=2)


def test_the_colours_of_the_legend_run_from_none_to_certain():
    strip = legend(1000, um_per_px=1.0, name="tumour", quantity="probability")
    rows = strip[:, 640:960]
    coloured = np.ptp(rows.astype(int), axis=2).sum(axis=1).argmax()
    ramp = rows[coloured]
    assert np.ptp(ramp[0].astype(int)) < 30  # hardly coloured
    white = np.full((1, 1, 3), 255, np.uint8)
    last = blend(white, np.full((1, 1), 0.98))[0, 0]
    assert np.linalg.norm(oklab(ramp[-1]) - oklab(last)) < 0.05


def test_a_long_name_is_cut_and_does_not_reach_the_scale_bar():
    strip = legend(400, um_per_px=1.0, name="x" * 300, quantity="probability")
    gap = strip[: strip.shape[0] // 2, 113:119]
    assert (gap == 255).all()
