"""Pseudo-labels: drawn evenly, compared whatever they are numbered, and when to stop."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from workflow.lib.clusters.pseudo_labels import changed, uniform_order, why_to_stop

ids = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)
STOP = {"rounds": 2, "nmi_change": 0.01, "nmi": 0.95, "churn": 0.02, "patience": 3}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def order_of(labels, seed=0):
    return uniform_order(np.array(labels), generator=generator(seed)).numpy()


def test_by_hand():
    """8 rows of 2 labels: 5 of each are drawn and 2 of these 10 cut off, so at least 3 of each."""
    labels = np.array([0] * 7 + [3])
    for seed in range(20):
        order = order_of(labels, seed)
        assert len(order) == 8 and order.min() >= 0 and order.max() <= 7
        assert set(np.bincount(labels[order])[[0, 3]]) <= {3, 4, 5}
        often = order[labels[order] == 0]
        assert len(set(often)) == len(often)  # 7 are enough for 5 without replacement


@given(ids, st.integers(0, 9))
@settings(max_examples=60)
def test_a_label_is_seen_as_often_as_any_other(labels, seed):
    order = order_of(labels, seed)
    assert len(order) == len(labels)
    counts = np.bincount(labels[order], minlength=5)
    present = np.unique(labels)
    share = len(labels) // len(present) + 1
    cut = share * len(present) - len(labels)
    assert counts.max() <= share and counts[present].min() >= share - cut
    for label in present:
        rows = order[labels[order] == label]
        if (labels == label).sum() >= share:
            assert len(set(rows)) == len(rows)


def test_no_row_is_more_likely_than_another_of_its_label():
    drawn = np.concatenate([order_of([0] * 4 + [1] * 12, seed) for seed in range(400)])
    times = np.bincount(drawn, minlength=16)
    assert abs(times[:4] / times[:4].mean() - 1).max() < 0.15
    assert abs(times[4:] / times[4:].mean() - 1).max() < 0.15
    assert times[:4].sum() / times.sum() == pytest.approx(0.5, abs=0.02)


def test_the_generator_decides():
    labels = np.arange(30) % 4
    assert np.array_equal(order_of(labels, 1), order_of(labels, 1))
    assert not np.array_equal(order_of(labels, 1), order_of(labels, 2))


@given(ids.flatmap(lambda a: st.tuples(st.just(a), st.permutations(list(a)).map(np.array))))
@settings(max_examples=80)
def test_change_is_that_of_scikit_learn_and_of_the_best_matching(pair):
    before, after = pair
    found = changed(before, after)
    assert found["nmi"] == pytest.approx(normalized_mutual_info_score(before, after), abs=1e-9)
    stayed = max(np.mean(np.array(p)[before] == after) for p in permutations(range(5)))
    assert found["churn"] == pytest.approx(1 - stayed)


def test_other_numbers_are_no_change():
    before = np.array([0, 0, 1, 1, 2, 2, 2])
    assert changed(before, np.array([5, 0, 3])[before]) == {"nmi": pytest.approx(1), "churn": 0}


def test_change_by_hand():
    """Of 4 tiles one moves; more clusters than before are matched as well as they can be."""
    found = changed(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2]))
    assert found["churn"] == 0.25
    # H(before) = log 2, H(after) = 1.5 log 2, mutual information = log 2
    assert found["nmi"] == pytest.approx(2 / 2.5)


def test_one_cluster_tells_nothing_of_two():
    assert changed(np.zeros(4, int), np.array([0, 1, 0, 1])) == {"nmi": 0, "churn": 0.5}
    assert changed(np.array([0, 1, 0, 1]), np.zeros(4, int)) == {"nmi": 0, "churn": 0.5}
    assert changed(np.zeros(4, int), np.zeros(4, int)) == {"nmi": 1, "churn": 0}


def rows(nmi, churn=None, probe=None):
    churn, probe = churn or [0.5] * len(nmi), probe or [None] * len(nmi)
    return [{"nmi": n, "churn": c, "probe": p} for n, c, p in zip(nmi, churn, probe, strict=True)]


@pytest.mark.parametrize(
    "nmi, churn, stops",
    [
        ([], None, False),
        ([None], [None], False),
        ([None, 0.5], None, False),  # no change of the NMI is known yet
        ([None, 0.5, 0.505, 0.502], None, True),
        ([None, 0.5, 0.505], None, False),  # one round still, two asked for
        ([None, 0.5, 0.505, 0.6, 0.601], None, False),  # not in a row
        ([None, 0.5, 0.505, 0.515], None, False),
        ([None, 0.5, 0.7, 0.9], [None, 0.5, 0.01, 0.019], True),
        ([None, 0.5, 0.7, 0.9], [None, 0.5, 0.01, 0.02], False),  # less, not as few
        ([None, 0.96, 0.99], None, True),  # as high as can be, though they still change
        ([None, 0.95, 0.99], None, False),
        ([None, 0.5, 0.505, 0.9], [None, 0.5, 0.5, 0.0], True),  # each for a reason of its own
    ],
)
def test_clusters_that_stand_still_are_a_reason_to_stop(nmi, churn, stops):
    found = why_to_stop(rows(nmi, churn), **STOP)
    assert (found is not None) == stops
    if stops:
        assert found.startswith("the clusters stood still for 2 rounds: in the last, ")


STEADY, HIGH = "NMI with those before no longer changed", "NMI with those before was"
FEW = "of the tiles changed their cluster"


@pytest.mark.parametrize(
    "nmi, churn, told",
    [
        (0.502, 0.5, "their NMI with those before no longer changed (0.50)"),
        (0.97, 0.5, "their NMI with those before was 0.970, above 0.95"),
        (0.7, 0.008, "only 0.8% of the tiles changed their cluster"),
        (0.502, 0.0, f"{STEADY} (0.50) and only 0.0% {FEW}"),
        (0.99, 0.01, f"{HIGH} 0.990, above 0.95 and only 1.0% {FEW}"),
    ],
)
def test_it_says_which_condition_held_in_the_last_round(nmi, churn, told):
    curves = rows([None, 0.5, 0.505, nmi], [None, 0.5, 0.5, churn])
    found = why_to_stop(curves, **STOP)
    said = [part in found for part in (STEADY, HIGH, FEW)]
    assert said == [part in told for part in (STEADY, HIGH, FEW)] and found.endswith(told)


def test_the_limit_of_the_nmi_is_a_setting():
    curves = rows([None, 0.6, 0.8])
    assert why_to_stop(curves, **STOP) is None
    assert "was 0.800, above 0.5" in why_to_stop(curves, **STOP | {"nmi": 0.5})
    one = why_to_stop(curves[:2], **STOP | {"nmi": 0.5, "rounds": 1})
    assert (
        one == "the clusters stood still for a round: their NMI with those before was 0.600, "
        "above 0.5"
    )


@pytest.mark.parametrize(
    "probe, stops",
    [
        ([0.6, 0.7, 0.7, 0.65, 0.7], True),  # as good is not better
        ([0.6, 0.7, 0.7, 0.65], False),
        ([0.6, 0.7, 0.7, 0.65, 0.71], False),
        ([None] * 8, False),
    ],
)
def test_a_probe_that_gets_no_better_is_a_reason_to_stop(probe, stops):
    nmi = [None, *np.linspace(0.1, 0.9, len(probe) - 1)]
    found = why_to_stop(rows(nmi, probe=probe), **STOP)
    assert (found is not None) == stops
    assert not stops or found == "no better linear probe in the 3 rounds after round 2"
