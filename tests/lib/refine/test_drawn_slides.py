"""Slides drawn to choose something: evenly by class, and always the same."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.refine.drawn_slides import draw_slides


def drawn_of(labels, count, seed=0):
    return Counter(labels[slide] for slide in draw_slides(labels, count, seed=seed))


def test_three_of_each_class_as_published():
    labels = {f"b{k}": "benign" for k in range(8)} | {f"m{k}": "malignant" for k in range(10)}
    assert drawn_of(labels, 6) == {"benign": 3, "malignant": 3}
    assert drawn_of(labels | {"x": "rare"}, 6) == {"benign": 2, "malignant": 3, "rare": 1}


def test_the_seed_draws_and_the_order_of_the_sheet_does_not():
    labels = {f"s{k:02d}": "ab"[k % 2] for k in range(40)}
    turned = dict(reversed(labels.items()))
    assert draw_slides(labels, 6, seed=3) == draw_slides(turned, 6, seed=3)
    assert len({tuple(draw_slides(labels, 6, seed=seed)) for seed in range(20)}) > 10


@given(st.lists(st.sampled_from("abc"), max_size=20), st.integers(1, 25), st.integers(0, 9))
def test_as_many_as_asked_for_if_there_are_and_as_even_as_can_be(kinds, count, seed):
    labels = {f"s{index}": kind for index, kind in enumerate(kinds)}
    drawn, there = draw_slides(labels, count, seed=seed), Counter(kinds)
    assert drawn == sorted(set(drawn)) and set(drawn) <= set(labels)
    assert len(drawn) == min(count, len(labels))
    found = Counter(labels[slide] for slide in drawn)
    most = max(found.values(), default=0)
    assert all(found[kind] in (most, most - 1, there[kind]) for kind in there)
