"""Parting a cohort: whole groups, no empty part, and the one good division of a few patients."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from workflow.lib.cohort.partitions import SHUFFLES, draw_validation, partitions


@settings(max_examples=50)
@given(
    groups=st.lists(st.integers(0, 5), min_size=2, max_size=20),
    parts=st.integers(2, 4),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_parts_hold_whole_groups(groups, parts, seed, data):
    labels = np.array(
        data.draw(st.lists(st.sampled_from("ab"), min_size=len(groups)))[: len(groups)]
    )
    groups = np.array(groups).astype(str)
    if len(set(groups)) < parts:
        assert not list(itertools.islice(partitions(labels, groups, parts, seed), 1))
        return
    for drawn in itertools.islice(partitions(labels, groups, parts, seed), 30):
        assert len(drawn) == parts
        assert (np.sum(drawn, axis=0) == 1).all()
        assert all(part.any() for part in drawn)
        for group in set(groups):
            assert sum((part & (groups == group)).any() for part in drawn) == 1


def test_first_is_scikit_learns():
    labels, groups = np.array(list("aabbab")), np.array(list("123456"))
    folds = StratifiedGroupKFold(3, shuffle=True, random_state=7)
    expected = [test.tolist() for _, test in folds.split(labels, labels, groups)]
    drawn = next(partitions(labels, groups, 3, 7))
    assert [np.flatnonzero(part).tolist() for part in drawn] == expected


def test_finds_what_the_greedy_stratifier_misses():
    """Patient 1 has both classes, 2 and 3 one each: only {1} and {2, 3} have both on both sides."""
    labels, groups = np.array(list("abab")), np.array(list("1123"))

    def good(drawn):
        return all(set(labels[part]) == {"a", "b"} for part in drawn)

    found = list(partitions(labels, groups, 2, 0))
    assert not any(map(good, found[:SHUFFLES]))
    assert any(map(good, found[SHUFFLES:]))


def test_validation_holds_every_class_and_comes_close_in_size():
    labels, patients = np.array(list("ab" * 10)), np.arange(20).astype(str)
    for val_fraction in (0.1, 0.2, 0.25, 0.5):
        part = draw_validation(labels, patients, val_fraction, 0, {"a", "b"})
        assert part.sum() == pytest.approx(20 * val_fraction, abs=1)
        assert set(labels[part]) == set(labels[~part]) == {"a", "b"}


def test_validation_takes_more_rather_than_lack_a_class():
    """A tenth of four patients would be one patient, and one class."""
    part = draw_validation(np.array(list("aabb")), np.array(list("1234")), 0.1, 0, {"a", "b"})
    assert part.sum() == 2


def test_no_validation_where_a_class_has_one_patient():
    labels, patients = np.array(list("aabb")), np.array(list("1233"))
    assert draw_validation(labels, patients, 0.5, 0, {"a", "b"}) is None
