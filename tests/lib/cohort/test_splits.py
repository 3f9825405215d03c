"""Splits: a patient never crosses, every class is where it is needed, order does not matter."""

import itertools
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.cohort.sheet import Slide, read_sheet
from workflow.lib.cohort.splits import (
    Placement,
    SplitError,
    count_folds,
    missing_classes,
    split_patients,
)

DATA = Path(__file__).resolve().parents[3] / "../shared/data"


def cohort(**patients: str) -> list[Slide]:
    """A slide per letter: cohort(p1="nt") is a patient with a normal and a tumour slide."""
    names = {"n": "normal", "t": "tumour", "o": "other", "-": None}
    return [
        Slide(f"{patient}-{index}", Path("x"), patient, names[letter])
        for patient, letters in patients.items()
        for index, letter in enumerate(letters)
    ]


def six(each: str = "n", other: str = "t") -> list[Slide]:
    return cohort(a=each, b=each, c=each, d=other, e=other, f=other)


def split(slides, folds=3, val_fraction=0.5, group_by="patient", seed=0):
    return split_patients(
        slides, folds=folds, val_fraction=val_fraction, group_by=group_by, seed=seed
    )


def members(rows: list[Placement]) -> dict[tuple[int, str], set[str]]:
    """(fold, split) -> patients."""
    found: dict[tuple[int, str], set[str]] = {}
    for row in rows:
        found.setdefault((row.fold, row.split), set()).add(row.patient)
    return found


def test_three_patients_a_class_in_three_folds():
    """With three patients a class, each fold must hold one of each in train, val and test."""
    found = members(split(six()))
    assert set(found) == set(itertools.product(range(3), ("train", "val", "test")))
    for patients in found.values():
        assert len(patients & set("abc")) == len(patients & set("def")) == 1
    for name in "abcdef":
        assert sum(name in found[fold, "test"] for fold in range(3)) == 1


def test_rows_are_sorted_and_complete():
    slides = six("nn", "t")
    rows = split(slides)
    assert [(row.fold, row.slide) for row in rows] == [
        (fold, name) for fold in range(3) for name in sorted(slide.slide for slide in slides)
    ]
    assert {(row.slide, row.patient, row.label) for row in rows} == {
        (slide.slide, slide.patient, slide.label) for slide in slides
    }


def test_a_patient_of_two_classes_stays_together():
    rows = split(cohort(a="nt", b="ntt", c="nnt", d="nt"), folds=2, val_fraction=0.25)
    for (fold, split_), patients in members(rows).items():
        labels = {row.label for row in rows if (row.fold, row.split) == (fold, split_)}
        assert labels == {"normal", "tumour"} and patients


def test_seed_and_nothing_else_moves_patients():
    slides = cohort(**{f"p{i:02d}": "nt"[i % 2] for i in range(20)})
    assert split(slides) == split(slides)
    assert split(slides[::-1]) == split(slides)
    assert len({tuple(split(slides, seed=seed)) for seed in range(4)}) == 4


def test_size_of_validation():
    slides = cohort(**{f"p{i:02d}": "nt"[i % 2] for i in range(40)})
    for val_fraction, expected in ((0.25, 5), (0.125, 2.5), (0.5, 10)):
        count = Counter((row.fold, row.split) for row in split(slides, 2, val_fraction))
        assert count[0, "test"] == 20
        assert count[0, "val"] == pytest.approx(expected, abs=1)


def test_no_validation():
    rows = split(cohort(a="nt", b="n", c="t"), folds=2, val_fraction=0)
    found = members(rows)
    assert set(found) == {(0, "train"), (0, "test"), (1, "train"), (1, "test")}
    assert {frozenset(found[fold, "test"]) for fold in (0, 1)} == {frozenset("a"), frozenset("bc")}


def test_unlabelled_slides_all_train_in_one_fold():
    slides = cohort(b="--", a="-")
    assert split(slides) == [
        Placement(0, "a-0", "a", None, "train"),
        Placement(0, "b-0", "b", None, "train"),
        Placement(0, "b-1", "b", None, "train"),
    ]
    assert count_folds(slides, 5) == 1


def placed(slides: list[Slide], **columns: str) -> list[Slide]:
    """The slides with split="train test ..." or fold="0 1 ..." or site="x y ..."."""
    for column, cells in columns.items():
        values = cells.split()
        values = [int(value) for value in values] if column == "fold" else values
        slides = [
            Slide(**vars(slide) | {column: value})
            for slide, value in zip(slides, values, strict=True)
        ]
    return slides


def test_split_of_the_sheet_is_kept():
    slides = placed(six(), split="train val test train val test")
    assert [row.split for row in split(slides)] == ["train", "val", "test"] * 2
    assert count_folds(slides, 3) == 1


def test_validation_is_taken_from_the_sheets_training_slides():
    slides = placed(six(), split="train train test train train test")
    found = members(split(slides))
    assert found[0, "test"] == {"c", "f"}
    assert len(found[0, "val"] & {"a", "b"}) == len(found[0, "val"] & {"d", "e"}) == 1
    assert (0, "val") not in members(split(slides, val_fraction=0))


def test_folds_of_the_sheet_are_kept():
    slides = placed(six(), fold="1 0 2 2 1 0")
    found = members(split(slides, folds=5))
    assert [found[fold, "test"] for fold in range(3)] == [{"b", "f"}, {"a", "e"}, {"c", "d"}]
    assert count_folds(slides, 5) == 3


def test_sites_are_tested_whole():
    slides = placed(six("n", "t") + cohort(g="n", h="t"), site="x y z x y z x y")
    rows = split(slides, group_by="site")
    found = members(rows)
    tested = {frozenset(found[fold, "test"]) for fold in range(3)}
    assert tested == {frozenset("adg"), frozenset("beh"), frozenset("cf")}
    assert count_folds(slides, 3) == 3


REFUSED = {
    "one positive patient": (
        cohort(a="n", b="n", c="n", d="ttt"),
        {},
        "4 patients (normal 3, tumour 1): class tumour has too few patients. With 3 folds each "
        "class needs 3: when one fold is tested, one has to be left to train and one to validate.",
    ),
    "two positive patients": (
        cohort(a="n", b="n", c="n", d="t", e="t"),
        {},
        "class tumour has too few patients. With 3 folds each class needs 3:",
    ),
    "three patients in two folds": (
        six(),
        {"folds": 2},
        "class normal has too few patients. With 2 folds each class needs 4:",
    ),
    "one positive patient and no validation": (
        cohort(a="n", b="n", c="t"),
        {"folds": 2, "val_fraction": 0},
        "With 2 folds each class needs 2: when one fold is tested, one has to be left to train. ",
    ),
    "more folds than patients": (
        six(),
        {"folds": 7},
        "6 patients (normal 3, tumour 3) cannot be tested in 7 folds; use 6 at most",
    ),
    "one class": (cohort(a="n", b="n"), {}, "Every slide is labelled normal; a classifier needs"),
    "some labels": (cohort(a="n-", b="t"), {}, "No label for a-1; label all slides or none"),
    "no site": (six(), {"group_by": "site"}, "a-0 has no site; fill the column"),
    "two sites of a patient": (
        placed(cohort(a="nn", b="t"), site="x y x"),
        {"group_by": "site"},
        "Patient a is at sites x and y; give each patient one site",
    ),
    "a class at one site": (
        placed(six(), site="x x y x x x"),
        {"group_by": "site", "folds": 2, "val_fraction": 0},
        "6 patients at 2 sites (normal 3, tumour 3): class tumour is at one site only",
    ),
    "no test slide": (placed(six(), split="train " * 6), {}, "no test slide"),
    "no training slide": (placed(six(), split="test " * 6), {}, "no train slide"),
    "given training without a class": (
        placed(six(), split="train train train val test test"),
        {},
        "the given split never leaves every class in training and validation",
    ),
    "given fold with a class": (
        placed(six(), fold="0 1 0 1 1 1"),
        {"val_fraction": 0},
        "the given split never leaves every class in training.",
    ),
    "given site crosses": (
        placed(six(), site="x y x x y x", split="train val test train val test"),
        {"group_by": "site"},
        "x is both tested and trained on in fold 0",
    ),
    "given patient crosses": (
        placed(cohort(a="nn", b="t", c="t", d="n"), split="train test train test test"),
        {"val_fraction": 0},
        "Patient a is in two splits of fold 0",
    ),
}


@pytest.mark.parametrize("slides, asked, said", REFUSED.values(), ids=REFUSED)
def test_refuses(slides, asked, said):
    with pytest.raises(SplitError) as caught:
        split(slides, **asked)
    assert said in str(caught.value)


def test_missing_classes_are_named():
    slides = placed(six(), split="train val test train test test")
    assert list(missing_classes(split(slides))) == [(0, "val", "tumour")]
    assert not list(missing_classes(split(six())))


@settings(max_examples=60)
@given(
    patients=st.lists(st.text("nto", min_size=1, max_size=4), min_size=1, max_size=12),
    folds=st.integers(2, 5),
    val_fraction=st.sampled_from([0, 0.1, 0.25, 0.5]),
    sites=st.one_of(st.none(), st.lists(st.sampled_from("xyzw"), min_size=12, max_size=12)),
    seed=st.integers(0, 2**32 - 1),
)
def test_promises_hold_or_it_refuses(patients, folds, val_fraction, sites, seed):
    slides = cohort(**{f"p{index:02d}": letters for index, letters in enumerate(patients)})
    site = dict(zip((f"p{index:02d}" for index in range(12)), sites or ["s"] * 12, strict=True))
    slides = [Slide(**vars(slide) | {"site": site[slide.patient]}) for slide in slides]
    group_by = "site" if sites else "patient"
    try:
        rows = split(slides, folds, val_fraction, group_by, seed)
    except SplitError:
        return
    assert rows == split(slides[::-1], folds, val_fraction, group_by, seed)
    classes = {slide.label for slide in slides}
    for fold in range(folds):
        part = {
            name: [row for row in rows if (row.fold, row.split) == (fold, name)]
            for name in ("train", "val", "test")
        }
        assert sum(map(len, part.values())) == len(slides)
        who = {name: {row.patient for row in found} for name, found in part.items()}
        assert not who["train"] & who["test"]
        assert not who["val"] & (who["train"] | who["test"])
        assert {row.label for row in part["train"]} == classes
        assert part["test"]
        assert {row.label for row in part["val"]} == (classes if val_fraction else set())
        if sites:
            assert not {site[p] for p in who["test"]} & {site[p] for p in who["train"] | who["val"]}
    tested = [row.slide for row in rows if row.split == "test"]
    assert sorted(tested) == sorted(slide.slide for slide in slides)


def test_a_cohort_that_can_be_split_is_split():
    """The fewest patients of each of two classes suffice, whatever the seed."""
    for seed in range(20):
        assert split(six(), folds=3, seed=seed)
        assert split([*six(), *cohort(g="n", h="t")], folds=2, seed=seed)
        assert split(cohort(a="n", b="n", c="t", d="t"), folds=2, val_fraction=0, seed=seed)


@pytest.mark.parametrize("val_fraction", [0.2, 0.25])
def test_glas(val_fraction):
    path = DATA / "glas/slides.tsv"
    if not path.is_file():
        pytest.skip("the GlaS images are not on this machine")
    slides = read_sheet(path, classes=["benign", "malignant"], labels_needed=True)
    rows = split(slides, 5, val_fraction)
    assert len(rows) == 5 * 85
    assert not list(missing_classes(rows))


def test_camelyon16_patches():
    path = DATA / "camelyon16_patches/slides.tsv"
    if not path.is_file():
        pytest.skip("the CAMELYON16 patches are not on this machine")
    slides = read_sheet(path, classes=["normal", "tumor"], labels_needed=True)
    found = members(split(slides, 2, 0.0))
    assert {frozenset(found[fold, "test"]) for fold in (0, 1)} == {
        frozenset({"tumor_064"}),
        frozenset({"tumor_001", "tumor_004"}),
    }
    with pytest.raises(SplitError, match="class normal has too few patients"):
        split(slides, 2, 0.25)
