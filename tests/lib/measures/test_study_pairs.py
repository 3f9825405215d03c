"""Paired differences of two studies: hand-computed values, and what pairing does to intervals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.measures.bootstrap import measure
from workflow.lib.measures.label_metrics import macro_ranking
from workflow.lib.measures.study_pairs import paired_auroc, paired_mean

DRAWS = {"replicates": 200, "seed": 0}
PATIENTS = np.array(["p1", "p1", "p2", "p3"])


def table(scores, labels=("no", "yes", "no", "yes")):
    return [
        {"label": label, "score[no]": str(1 - score), "score[yes]": str(score)}
        for score, label in zip(scores, labels, strict=True)
    ]


def test_means_are_over_the_slides_that_both_have():
    a = np.array([1.0, 3.0, 5.0, math.nan])
    b = np.array([2.0, math.nan, 9.0, 7.0])
    found = paired_mean(a, b, PATIENTS, **DRAWS)
    assert {name: value for name, (value, _) in found.items()} == {
        "a": 3.0,  # of 1 and 5
        "b": 5.5,
        "difference": 2.5,
    }
    # p1 and p2 alone: each drawn twice, or both once; so the difference is 1, 4 or 2.5
    assert found["difference"][1] == (1.0, 4.0)


def test_a_difference_that_all_patients_share_is_sure_however_far_apart_they_are():
    a = np.array([10.0, 20.0, 50.0, 90.0])
    found = paired_mean(a, a + 2, PATIENTS, **DRAWS)
    assert found["difference"] == (2.0, (2.0, 2.0))
    low, high = found["a"][1]
    assert high - low > 20


def test_slides_of_one_patient_are_drawn_together():
    a, b = np.zeros(4), np.array([1.0, -1.0, 0.0, 0.0])
    assert paired_mean(a, b, PATIENTS, **DRAWS)["difference"] == (0.0, (0.0, 0.0))
    low, high = paired_mean(a, b, np.array(list("abcd")), **DRAWS)["difference"][1]
    assert low < 0 < high


@settings(max_examples=25)
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6))
def test_exchanging_the_studies_changes_signs_only(values):
    a, b = np.array(values).T
    patients = np.arange(len(a)) % 3
    one, other = (paired_mean(*pair, patients, **DRAWS) for pair in ((a, b), (b, a)))
    assert one["a"] == other["b"] and one["b"] == other["a"]
    assert one["difference"][0] == pytest.approx(-other["difference"][0], abs=1e-12)
    low, high = one["difference"][1]
    assert other["difference"][1] == pytest.approx((-high, -low), nan_ok=True, abs=1e-12)


def test_without_a_slide_in_both_nothing_is_defined():
    found = paired_mean(np.array([math.nan]), np.array([1.0]), np.array(["p"]), **DRAWS)
    assert all(math.isnan(value) for value, _ in found.values())


def test_auroc_is_that_of_each_study_and_the_difference_is_paired():
    a, b = table([0.1, 0.9, 0.6, 0.4]), table([0.1, 0.9, 0.3, 0.4])
    found = paired_auroc(a, b, np.array(list("abcd")), **DRAWS)
    assert (found["a"][0], found["b"][0], found["difference"][0]) == (0.75, 1.0, 0.25)
    alone = measure(
        lambda weights: {
            "auroc": macro_ranking(
                np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6], [0.6, 0.4]]),
                np.array([0, 1, 0, 1]),
                weights,
            )[0]
        },
        patients=4,
        **DRAWS,
    )
    assert found["a"] == alone["auroc"]  # the interval that the study itself has


def test_auroc_goes_by_the_labels_of_each_study():
    a, b = table([0.1, 0.9, 0.2, 0.8]), table([0.1, 0.9, 0.2, 0.8], ("yes", "no", "yes", "no"))
    found = paired_auroc(a, b, PATIENTS, **DRAWS)
    assert (found["a"][0], found["b"][0]) == (1.0, 0.0)


@pytest.mark.parametrize(
    "other",
    [
        [{"label": "no", "score[no]": "1"} for _ in range(4)],
        [row | {"score[yes]": ""} for row in table([0.1, 0.9, 0.2, 0.8])],
    ],
)
def test_other_classes_or_a_slide_without_a_score_leave_auroc_undefined(other):
    found = paired_auroc(table([0.1, 0.9, 0.2, 0.8]), other, PATIENTS, **DRAWS)
    assert all(math.isnan(value) for value, _ in found.values())
