"""Measures of evidence without truth, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.evidence.cam_quality import (
    AGREEMENT,
    COLUMNS,
    FLAT,
    TITLES,
    Tally,
    cell_tissue,
    class_contrast,
    describe,
    explained_share,
    quality_table,
    warnings,
)
from workflow.lib.evidence.evidence_tallies import EvidenceTally

MASKS = {"coverage_fg": 0.25, "coverage_bg": 0.5, "ignored": 0.25, "entropy": 0.75}
GOOD = {"fold": 2, "slides": 4, "unusual": 0, "foreground": 0.2, "spread": 0.2}
WEAK = "The classifier of fold 2 is weak."


def test_a_cell_is_tissue_where_its_middle_is():
    """A slide of 40 x 80 px; the mask has 10 px a cell and its right half is tissue."""
    mask = np.zeros((4, 8), bool)
    mask[:, 4:] = True
    at = np.array([[0, 0], [0, 20], [20, 35]])
    found = cell_tissue(mask, at, (2, 2), tile_px=20, size_px=(40, 80))
    # Middles are 5 and 15 px into a tile: at x = 5, 15, then 25, 35, then 40 and 50.
    assert found.tolist() == [[[False] * 2] * 2, [[False] * 2] * 2, [[True] * 2] * 2]
    at = np.array([[0, 30], [0, 70]])  # the last one reaches over the edge
    found = cell_tissue(mask, at, (1, 2), tile_px=20, size_px=(40, 80))
    assert found.tolist() == [[[False, True]], [[True, True]]]


def test_clusters_that_fix_the_evidence_explain_all_of_it():
    values, groups = np.array([0.1, 0.1, 0.7, 0.7]), np.array([3, 3, 0, 0])
    assert explained_share(values, groups) == pytest.approx(1)


def test_explained_share_by_hand():
    """Means 1 and 4; within: 1 + 1 + 1 + 1 = 4 of 2 degrees; total: 13 of 3."""
    values, groups = np.array([0.0, 2.0, 3.0, 5.0]), np.array([0, 0, 1, 1])
    assert explained_share(values, groups) == pytest.approx(1 - (4 / 2) / (13 / 3))


@given(st.integers(0, 2**32 - 1), st.integers(2, 20))
@settings(max_examples=25)
def test_random_clusters_explain_nothing_however_many(seed, count):
    rng = np.random.default_rng(seed)
    values, groups = rng.normal(size=2000), rng.integers(0, count, 2000)
    assert abs(explained_share(values, groups)) < 0.05


@pytest.mark.parametrize(
    ("values", "groups"), [([0.5, 0.5, 0.5], [0, 1, 1]), ([0.1, 0.2], [0, 1]), ([], [])]
)
def test_where_nothing_varies_nothing_is_explained(values, groups):
    assert math.isnan(explained_share(np.array(values), np.array(groups, int)))


def test_contrast_is_what_a_class_has_more_of_on_its_own_slides():
    shares = np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]])
    labels = np.array([0, 0, 1])
    assert class_contrast(shares, labels, [1]) == pytest.approx(0.6 - 0.2)
    assert class_contrast(shares, labels, [0, 1]) == pytest.approx(0.4)
    assert math.isnan(class_contrast(shares[:2], labels[:2], [1]))
    assert math.isnan(class_contrast(np.array([]), np.array([]), [0, 1]))


def test_a_tally_of_two_slides():
    tally = Tally(["normal", "tumour"], "normal")
    half = np.array([[[0.0, 1.0]], [[0.0, 1.0]]])  # two tiles with two cells
    inside = np.array([[[True, True]], [[True, False]]])
    first, second = EvidenceTally(), EvidenceTally()
    first.add_evidence(half, inside, np.array([0, 1]), threshold=0.6)
    tally.add_evidence(first, MASKS)
    second.add_evidence(np.full((1, 1, 2), 0.5), inside[:1], np.array([1]), threshold=0.6)
    tally.add_evidence(second, MASKS | {"coverage_fg": 0.95})
    tally.add_shares("train", "normal", np.array([0.8, 0.2]))
    tally.add_shares("train", "tumour", np.array([0.3, 0.7]))
    row = tally.row()
    assert (row["slides"], row["unusual"]) == (2, 1)
    assert row["foreground"] == pytest.approx((0.25 + 0.95) / 2)
    assert row["spread"] == pytest.approx((0.5 + 0) / 2)
    assert row["outside_tissue"] == pytest.approx(1 / 2)  # of two cells above 0.6
    assert row["outside_by_chance"] == pytest.approx(1 / 6)
    assert row["contrast_train"] == pytest.approx(0.5)
    assert math.isnan(row["contrast_val"]) and math.isnan(row["cluster_share"])
    assert set(row) | {"fold", "classifier_auroc", "warning"} == set(COLUMNS)


def test_a_fold_without_a_slide_is_said():
    row = Tally(["normal", "tumour"], "normal").row()
    assert row["slides"] == 0 and row["foreground"] is None
    assert warnings(row | {"fold": 1}, weak=None) == [
        "Fold 1 has no training slide with a finding to learn a decoder from."
    ]
    assert describe(row) == "no training slide with a finding"


@pytest.mark.parametrize(
    ("changed", "weak", "said"),
    [
        ({}, None, []),
        ({}, WEAK, [WEAK]),
        (
            {"spread": FLAT / 2},
            None,
            [
                "The evidence of fold 2 is flat (its standard deviation within a slide is 0.025 of"
                " 1): it says little about where."
            ],
        ),
        (
            {"unusual": 3, "foreground": 0.92},
            None,
            [
                "In fold 2 the foreground of 3 of 4 training slides is outside of 0.1% to 90% "
                "(92.0% on average): its pseudo-masks mark nearly nothing or nearly everything."
            ],
        ),
        ({"unusual": 2}, None, []),
    ],
)
def test_what_speaks_against_refining(changed, weak, said):
    assert warnings(GOOD | changed, weak=weak) == said


def test_the_table_of_the_page():
    row = dict.fromkeys(COLUMNS, "") | {"fold": "1", "slides": "3", "foreground": "0.0184"}
    (shown,) = quality_table([row])
    assert shown["cells"]["foreground"] == "1.8%"
    assert shown["cells"]["contrast, validation"] == "not defined"
    assert len(shown["cells"]) == len(TITLES) + 1
    assert shown["cells"][AGREEMENT] == "only one method"
