"""The rule of the CAMELYON16 patches: fractions, counts and fairness by hand."""

import numpy as np
import pytest

from workflow.lib.cohort.patch_rule import Candidates, categories, choose_patches, patch_grid


def slide(*, a=0, b=0, little=0, normal=None):
    """A slide with so many patches of each kind, mixed; or a normal one."""
    if normal is not None:
        return Candidates(np.zeros((normal, 2), np.int64), None)
    marked = np.array([0.3] * a + [0.9] * b + [0.1] * little)
    np.random.default_rng(a + b).shuffle(marked)
    return Candidates(np.zeros((len(marked), 2), np.int64), marked)


def counts(slides, chosen):
    kinds = {"A": 0, "B": 0, "": 0, "normal": 0}
    for name, rows in chosen.items():
        found = slides[name].marked
        for kind in ["normal"] * len(rows) if found is None else categories(found[rows]):
            kinds[str(kind)] += 1
    return kinds


def test_patches_are_whole_and_do_not_overlap():
    assert patch_grid(1100, 1535).tolist() == [[0, 0], [0, 512], [512, 0], [512, 512]]
    assert patch_grid(511, 5000).shape == (0, 2)


def test_bounds_belong_to_category_a():
    shares = np.array([0, 0.1999, 0.2, 0.35, 0.5, 0.5001, 1])
    assert categories(shares).tolist() == ["", "", "A", "A", "A", "B", "B"]


def test_all_of_a_is_kept_and_b_is_drawn_to_the_published_share():
    slides = {
        "t1": slide(a=400, b=900, little=50),
        "t2": slide(a=208, b=100),
        "n": slide(normal=5000),
    }
    found = counts(slides, choose_patches(slides, seed=0))
    assert found == {"A": 608, "B": 392, "": 0, "normal": 1000}  # 608 of 1000 are 60.8 %


def test_where_b_is_rare_all_of_it_is_kept_and_a_as_well():
    slides = {"t": slide(a=60, b=3), "n": slide(normal=100)}
    found = counts(slides, choose_patches(slides, seed=0))
    assert found == {"A": 60, "B": 3, "": 0, "normal": 63}


def test_normal_patches_come_evenly_from_the_slides_as_far_as_they_have_them():
    slides = {"t": slide(a=61, b=100)} | {f"n{n}": slide(normal=100) for n in (1, 2, 3)}
    slides["n4"] = slide(normal=10)
    chosen = choose_patches(slides, seed=3)
    assert counts(slides, chosen)["normal"] == 100  # 61 of A and 39 of B
    assert len(chosen["n4"]) == 10 and [len(chosen[f"n{n}"]) for n in (1, 2, 3)] == [30, 30, 30]
    assert all((np.diff(rows) > 0).all() for rows in chosen.values())


def test_too_few_normal_patches_are_all_taken():
    slides = {"t": slide(a=61, b=100), "n": slide(normal=7)}
    assert counts(slides, choose_patches(slides, seed=0))["normal"] == 7


def test_a_seed_draws_the_same_whatever_the_order_and_another_draws_others():
    slides = {"t": slide(a=61, b=400), "n1": slide(normal=500), "n2": slide(normal=500)}
    first = choose_patches(slides, seed=1)
    again = choose_patches(dict(reversed(slides.items())), seed=1)
    other = choose_patches(slides, seed=2)
    for name in slides:
        assert first[name].tolist() == again[name].tolist()
        assert first[name].tolist() != other[name].tolist()


@pytest.mark.parametrize("slides", [{}, {"n": slide(normal=9)}, {"t": slide(little=4)}])
def test_without_metastases_nothing_is_chosen(slides):
    assert all(len(rows) == 0 for rows in choose_patches(slides, seed=0).values())
