"""Whether two methods point at the same places, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from workflow.lib.evidence import agreement
from workflow.lib.evidence.agreement import (
    SlideMaps,
    columns,
    rank_correlation,
    shown,
    top_overlap,
    warn_apart,
)


def test_ranks_by_hand():
    """Ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15)."""
    first, other = np.array([0.1, 0.2, 0.3, 0.9]), np.array([0.5, 0.4, 0.8, 0.7])
    assert rank_correlation(first, other) == pytest.approx(0.6)
    assert rank_correlation(first, first**3) == pytest.approx(1)  # the scale says nothing
    assert rank_correlation(first, -first) == pytest.approx(-1)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_ranks_are_those_of_scipy_ties_too(seed):
    first, other = np.random.default_rng(seed).integers(0, 5, (2, 40)).astype(float)
    assert rank_correlation(first, other) == pytest.approx(spearmanr(first, other).statistic)


def test_tops_by_hand():
    """Tops of two of ten: {8, 9} against {8, 0} share one of three."""
    first = np.arange(10.0)
    other = np.array([20.0, 1, 2, 3, 4, 5, 6, 7, 30, 8])
    assert top_overlap(first, other) == pytest.approx(1 / 3)
    assert top_overlap(first, 7 * first) == 1
    assert top_overlap(first, -first) == 0


def test_places_that_tie_are_shared():
    """GrabCut marks five of ten: each is 2/5 of its top. Against {8, 9}, both marked.

    min: 2 x 2/5; max: 2 x 1 + 3 x 2/5.
    """
    first, marked = np.arange(10.0), np.array([0.0] * 5 + [1.0] * 5)
    assert top_overlap(first, marked) == pytest.approx(0.8 / 3.2)
    assert top_overlap(marked, marked) == 1


def test_a_flat_map_agrees_with_nothing_and_does_not_count():
    flat, other = np.zeros(9), np.arange(9.0)
    for pair in ((flat, other), (other, flat)):
        assert math.isnan(rank_correlation(*pair)) and math.isnan(top_overlap(*pair))
    slides = [{"gradcam": (math.nan, math.nan)}, {"gradcam": (0.5, 0.25)}, {}]
    found = agreement.agreement(slides, ["gradcam", "layercam"])
    assert found == {
        "rank_gradcam": 0.5,
        "top_gradcam": 0.25,
        "rank_layercam": None,
        "top_layercam": None,
    }
    assert list(found) == columns(["gradcam", "layercam"])


def test_maps_of_other_grids_come_onto_that_of_the_first():
    """Means of 2 x 2 cells of a 4 x 4 map, and of 3 x 3 ones that are cut in half."""
    fine = np.arange(16.0).reshape(1, 4, 4)
    means = np.array([[2.5, 4.5], [10.5, 12.5]])[None]
    maps = SlideMaps(1)
    maps.add(means, {"gradcam": fine})
    assert maps._others["gradcam"][0] == pytest.approx(means.ravel())
    odd = np.arange(9.0).reshape(1, 3, 3)
    maps.add(means, {"scorecam": odd})
    # First cell: 0 whole, 1 and 3 by half, 4 by a quarter, of 2.25 in all.
    assert maps._others["scorecam"][0][0] == pytest.approx((0 + 0.5 + 1.5 + 1) / 2.25)


@pytest.mark.parametrize("sizes", [[7], [1, 1, 1, 1, 1, 1, 1], [2, 3, 2]])
def test_of_a_large_slide_evenly_spread_tiles_are_compared(monkeypatch, sizes):
    monkeypatch.setattr(agreement, "TILES", 3)  # seven tiles: every third
    rng = np.random.default_rng(0)
    first, other = rng.random((2, 7, 2, 2))
    maps, start = SlideMaps(7), 0
    for size in sizes:
        rows = slice(start, start + size)
        maps.add(first[rows], {"gradcam": other[rows]})
        start += size
    kept = first[[0, 3, 6]].ravel(), other[[0, 3, 6]].ravel()
    assert maps.compare() == {"gradcam": (rank_correlation(*kept), top_overlap(*kept))}


def test_methods_that_disagree_are_named():
    row = {"fold": 2, "rank_gradcam": 0.8, "rank_scorecam": -0.05, "rank_grabcut": None}
    assert warn_apart(row, ["gradcam", "grabcut"]) == []
    assert warn_apart(row, ["gradcam", "scorecam", "grabcut"]) == [
        "In fold 2 methods disagree about where with the one that all else builds on (correlation"
        " of ranks, 1 the same order and 0 chance: Score-CAM -0.05): look at their maps before"
        " anything is refined."
    ]


def test_what_the_report_shows():
    row = {"fold": "0", "rank_gradcam": "0.834", "top_gradcam": "0.5", "rank_grabcut": ""}
    assert shown(row) == "Grad-CAM 0.83, 50%; Saliency and GrabCut not defined"
    assert shown({"fold": "0", "warning": ""}) == "only one method"
