"""Splits: which patients train, which decide when to stop, and which are tested."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from workflow.lib.cohort.partitions import draw_validation, partitions
from workflow.lib.cohort.sheet import Slide


class SplitError(ValueError):
    """A cohort that cannot be split as asked; the message says what is missing."""


class Placement(NamedTuple):
    """What one slide is for in one fold: a row of splits.tsv. `split` is train, val or test."""

    fold: int
    slide: str
    patient: str
    label: str | None
    split: str


def count_folds(slides: Sequence[Slide], folds: int) -> int:
    """How many folds `split_patients` will make of a checked sheet."""
    if all(slide.label is None for slide in slides) or any(slide.split for slide in slides):
        return 1
    return max((slide.fold + 1 for slide in slides if slide.fold is not None), default=folds)


def split_patients(
    slides: Sequence[Slide], *, folds: int, val_fraction: float, group_by: str, seed: int
) -> list[Placement]:
    """Place every slide in every fold, sorted by fold and slide.

    Test sets are stratified by label over groups that stay together (`group_by`: patient or site),
    with scikit-learn's StratifiedGroupKFold; each slide is tested in exactly one fold. Of the rest,
    about `val_fraction` of the slides validate, again stratified and whole patients; 0 keeps none.
    A split or fold given in the sheet replaces the drawn test sets. The order of `slides` does not
    matter. A study without labels has nothing to hold out: one fold in which every slide trains.

    Every training and every drawn validation set holds every class. Raises `SplitError` where that
    is impossible, naming classes and numbers of patients, and never lets a patient (nor, grouped
    by site, a site) be both tested and trained on.
    """
    slides = sorted(slides, key=lambda slide: slide.slide)
    if all(slide.label is None for slide in slides):
        return [Placement(0, s.slide, s.patient, None, "train") for s in slides]
    groups = _groups(slides, group_by)
    given = _given(slides)
    if given is None:
        _check_counts(slides, groups, folds, val_fraction)
        placed = _draw(slides, groups, folds, val_fraction, seed)
    else:
        placed = _validate(slides, given, val_fraction, seed)
    if placed is None:
        parts = "training and validation" if val_fraction else "training"
        which = (
            "no split was found that leaves" if given is None else "the given split never leaves"
        )
        raise SplitError(
            f"{_census(slides, groups)}: {which} every class in {parts}. Add patients, use fewer "
            "folds or val_fraction: 0 (no validation), or give other splits in the sheet"
        )
    rows = [
        Placement(fold, slide.slide, slide.patient, slide.label, str(split))
        for fold, splits in enumerate(placed)
        for slide, split in zip(slides, splits, strict=True)
    ]
    _audit(rows, groups)
    return rows


def missing_classes(rows: Sequence[Placement]) -> Iterator[tuple[int, str, str]]:
    """(fold, split, class) for every class that a validation or test set does not hold.

    Nothing is wrong with such a fold, but a score that compares classes has no value in it.
    """
    classes = sorted({row.label for row in rows} - {None})
    held = {(row.fold, row.split, row.label) for row in rows}
    for fold, split in sorted({(row.fold, row.split) for row in rows}):
        if split != "train":
            yield from ((fold, split, c) for c in classes if (fold, split, c) not in held)


def _groups(slides: Sequence[Slide], group_by: str) -> dict[str, str]:
    """Patient -> what is tested together with it: the patient or its site."""
    if any(slide.label is None for slide in slides):
        bare = [slide.slide for slide in slides if slide.label is None]
        raise SplitError(f"No label for {', '.join(bare)}; label all slides or none")
    if len(classes := {slide.label for slide in slides}) < 2:
        raise SplitError(f"Every slide is labelled {classes.pop()}; a classifier needs two classes")
    if group_by == "patient":
        return {slide.patient: slide.patient for slide in slides}
    groups: dict[str, str] = {}
    for slide in slides:
        if slide.site is None:
            raise SplitError(f"{slide.slide} has no site; fill the column or group_by: patient")
        if groups.setdefault(slide.patient, slide.site) != slide.site:
            raise SplitError(
                f"Patient {slide.patient} is at sites {groups[slide.patient]} and {slide.site}; "
                "give each patient one site, or group_by: patient"
            )
    return groups


def _given(slides: Sequence[Slide]) -> list[np.ndarray] | None:
    """Per fold the split of every slide as the sheet gives it, or None; "" where it is open."""
    if any(slide.split for slide in slides):
        splits = np.array([slide.split for slide in slides])
        if missing := {"train", "test"} - set(splits):
            raise SplitError(f"The column split has no {' and no '.join(sorted(missing))} slide")
        return [splits if "val" in splits else np.where(splits == "train", "", splits)]
    if any(slide.fold is not None for slide in slides):
        folds = np.array([slide.fold for slide in slides])
        return [np.where(folds == fold, "test", "") for fold in range(folds.max() + 1)]
    return None


def _check_counts(
    slides: Sequence[Slide], groups: dict[str, str], folds: int, val_fraction: float
) -> None:
    """Refuse a cohort that no draw can split."""
    census, bundles = _census(slides, groups), set(groups.values())
    if len(bundles) < folds:
        raise SplitError(f"{census} cannot be tested in {folds} folds; use {len(bundles)} at most")
    parts = 2 if val_fraction else 1  # training, and validation
    needed = next(n for n in itertools.count(2) if n - math.ceil(n / folds) >= parts)
    for label in sorted({slide.label for slide in slides}):
        patients = {slide.patient for slide in slides if slide.label == label}
        if len({groups[patient] for patient in patients}) == 1 < len(patients):
            raise SplitError(
                f"{census}: class {label} is at one site only, so that no model could know it when "
                "that site is tested; use group_by: patient"
            )
        if len(patients) < needed:
            raise SplitError(
                f"{census}: class {label} has too few patients. With {folds} folds each class "
                f"needs {needed}: when one fold is tested, one has to be left to train"
                f"{' and one to validate' * (parts == 2)}. Add patients, leave the class out, or "
                "use more folds or val_fraction: 0 (no validation)"
            )


def _draw(
    slides: Sequence[Slide], groups: dict[str, str], folds: int, val_fraction: float, seed: int
) -> list[np.ndarray] | None:
    """The first draw that works and has every class in every test set, or else the best."""
    best: tuple[int, list[np.ndarray]] | None = None
    labels = np.array([slide.label for slide in slides])
    members = np.array([groups[slide.patient] for slide in slides])
    for tests in partitions(labels, members, folds, seed):
        if any(set(labels[~test]) != set(labels) for test in tests):
            continue
        given = [np.where(test, "test", "") for test in tests]
        if (placed := _validate(slides, given, val_fraction, seed)) is None:
            continue
        absent = sum(len(set(labels)) - len(set(labels[test])) for test in tests)
        if best is None or absent < best[0]:
            best = absent, placed
        if absent == 0:
            break
    return best[1] if best else None


def _validate(
    slides: Sequence[Slide], given: list[np.ndarray], val_fraction: float, seed: int
) -> list[np.ndarray] | None:
    """`given` with open slides ("") made train or val; None when a class would be missing."""
    labels = np.array([slide.label for slide in slides])
    patients = np.array([slide.patient for slide in slides])
    placed = []
    for splits in given:
        splits = splits.astype("<U5")
        open_ = splits == ""
        if open_.any() and val_fraction:
            val = draw_validation(labels[open_], patients[open_], val_fraction, seed, set(labels))
            if val is None:
                return None
            splits[open_] = np.where(val, "val", "train")
        splits[splits == ""] = "train"
        if set(labels[splits == "train"]) != set(labels):
            return None
        placed.append(splits)
    return placed


def _census(slides: Sequence[Slide], groups: dict[str, str]) -> str:
    counts = [
        f"{label} {len({s.patient for s in slides if s.label == label})}"
        for label in sorted({slide.label for slide in slides})
    ]
    sites = len(set(groups.values()))
    where = f" at {sites} sites" if set(groups) != set(groups.values()) else ""
    return f"{len(groups)} patients{where} ({', '.join(counts)})"


def _audit(rows: Sequence[Placement], groups: dict[str, str]) -> None:
    """The promise of this module, checked on what it made and on what a sheet fixed."""
    seen: dict[tuple[int, str], str] = {}
    tested: dict[tuple[int, str], bool] = {}
    for row in rows:
        if seen.setdefault((row.fold, row.patient), row.split) != row.split:
            raise SplitError(f"Patient {row.patient} is in two splits of fold {row.fold}")
        key, test = (row.fold, groups[row.patient]), row.split == "test"
        if tested.setdefault(key, test) != test:
            raise SplitError(
                f"{groups[row.patient]} is both tested and trained on in fold {row.fold}; "
                "give a site to one fold only, or group_by: patient"
            )
