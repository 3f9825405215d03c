"""Labels permuted among patients: who gets whose, and that nothing else changes."""

import dataclasses
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.cohort.permutation import permute_labels
from workflow.lib.cohort.sheet import Slide

SEEDS = range(40)


def cohort(*labels):
    """One slide of one patient per label."""
    return [Slide(f"s{n:02d}", None, f"p{n:02d}", label) for n, label in enumerate(labels)]


def labels_of(slides):
    return [slide.label for slide in slides]


@st.composite
def cohorts(draw):
    patients = draw(st.lists(st.integers(1, 4), min_size=1, max_size=8))
    label = st.sampled_from("abc")
    owners = [f"p{n}" for n, count in enumerate(patients) for _ in range(count)]
    return [Slide(f"s{n}", None, owner, draw(label)) for n, owner in enumerate(owners)]


@given(cohorts(), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_every_patient_has_the_labels_of_one_and_nothing_else_changes(slides, seed):
    permuted = permute_labels(slides, seed=seed)
    assert [dataclasses.replace(s, label=None) for s in permuted] == [
        dataclasses.replace(s, label=None) for s in slides
    ]

    def by_patient(listed):
        found = {}
        for slide in sorted(listed, key=lambda slide: slide.slide):
            found.setdefault(slide.patient, []).append(slide.label)
        return found

    before, after = by_patient(slides), by_patient(permuted)
    for own in after.values():
        sources = [s for s in before.values() if all(a == s[i % len(s)] for i, a in enumerate(own))]
        assert sources


@given(cohorts(), st.integers(0, 99), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_the_order_of_the_sheet_does_not_matter(slides, seed, random):
    shuffled = random.sample(slides, len(slides))
    found = {s.slide: s.label for s in permute_labels(shuffled, seed=seed)}
    assert found == {s.slide: s.label for s in permute_labels(slides, seed=seed)}


def test_classes_keep_their_number_of_patients():
    slides = cohort(*"aaaabbc")
    for seed in SEEDS:
        assert Counter(labels_of(permute_labels(slides, seed=seed))) == Counter("aaaabbc")


def test_labels_are_drawn_whatever_the_own_class():
    """Each of 10 patients keeps its class half of the time: 200 of 400, give or take 10."""
    slides = cohort(*"ab" * 5)
    own = np.array(labels_of(slides))
    kept = sum(int((own == labels_of(permute_labels(slides, seed=s))).sum()) for s in SEEDS)
    assert 150 < kept < 240
    assert len({tuple(labels_of(permute_labels(slides, seed=seed))) for seed in SEEDS}) > 30


def test_the_same_seed_draws_the_same():
    slides = cohort(*"ab" * 5)
    assert permute_labels(slides, seed=3) == permute_labels(slides, seed=3)


def test_a_patient_with_more_slides_starts_again():
    slides = [Slide(f"s{n}", None, "many", "a") for n in range(5)]
    slides += [Slide("t0", None, "two", "b"), Slide("t1", None, "two", "c")]
    seen = {tuple(labels_of(permute_labels(slides, seed=seed))) for seed in SEEDS}
    assert seen == {tuple("aaaaabc"), tuple("bcbcbaa")}


def test_a_sheet_without_labels_stays_without():
    assert labels_of(permute_labels(cohort(None, None), seed=0)) == [None, None]
