"""Pseudo-masks: thresholds on evidence and the tally of what they keep."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.evidence.pseudo_masks import Quality, entropy_bits, threshold_cams


def test_thresholds_by_hand():
    cams = np.array([[[0.0, 0.19, 0.2, 0.59, 0.6, 1.0]]], dtype=np.float32)
    masks = threshold_cams(cams, foreground=0.6, background=0.2)
    assert masks.dtype == np.uint8
    assert masks.tolist() == [[[0, 0, 255, 255, 1, 1]]]


def test_equal_thresholds_ignore_nothing():
    masks = threshold_cams(np.array([0.4, 0.5, 0.6]), foreground=0.5, background=0.5)
    assert masks.tolist() == [0, 1, 1]


@pytest.mark.parametrize("pair", [(0.2, 0.6), (1.2, 0.1), (0.5, -0.1)])
def test_crossed_thresholds_are_refused(pair):
    with pytest.raises(ValueError, match="0 <= background <= foreground <= 1"):
        threshold_cams(np.zeros(1), foreground=pair[0], background=pair[1])


def test_entropy_is_in_bits():
    assert entropy_bits(np.array([0.0, 0.5, 1.0, 0.25])) == pytest.approx([0, 1, 0, 0.811278])


def test_quality_counts_over_batches_as_over_the_whole():
    cams = np.random.default_rng(0).random((7, 8, 8)).astype(np.float32)
    masks = threshold_cams(cams, foreground=0.7, background=0.3)
    whole, parts = Quality(), Quality()
    whole.add(masks, cams)
    for rows in (slice(0, 3), slice(3, 7)):
        parts.add(masks[rows], cams[rows])
    assert parts.facts() == pytest.approx(whole.facts())
    assert whole.facts()["coverage_fg"] == pytest.approx((cams >= 0.7).mean())
    assert whole.facts()["coverage_bg"] == pytest.approx((cams < 0.3).mean())


@given(st.floats(0, 1), st.floats(0, 1))
def test_shares_add_up_to_one(one, other):
    cams = np.linspace(0, 1, 64, dtype=np.float32).reshape(1, 8, 8)
    low, high = sorted((one, other))
    quality = Quality()
    quality.add(threshold_cams(cams, foreground=high, background=low), cams)
    facts = quality.facts()
    assert facts["coverage_fg"] + facts["coverage_bg"] + facts["ignored"] == pytest.approx(1)


def test_a_slide_without_tiles_has_no_quality_rather_than_zero():
    assert set(Quality().facts().values()) == {None}
