"""The part of the leak audit that asks what results were made of (lib/cohort/ancestry.py)."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workflow.lib.cohort.ancestry import Model
from workflow.lib.cohort.audit import Check, Row


@dataclass(frozen=True)
class Result:
    """A unit that numbers are made of; `models` made it.

    slide: of scores/fold0/s01, which is what s01 is judged by; None for assignments and probes,
        which may be of training slides
    """

    name: str
    slide: str | None
    fold: int | None
    models: Sequence[Model]


def check_models(
    models: Iterable[Model], rows: Sequence[Row], patients: Mapping[str, str], judging: set[str]
) -> Check:
    """No model learnt from, or was chosen on, a patient that its fold tests.

    judging: names of the models behind scores and heatmaps. Clusters that were fitted everywhere
    on purpose are noted, unless one of these was made of them.
    """
    side = {(int(row["fold"]), row["slide"]): row["split"] for row in rows}
    tested = defaultdict(set)
    for (fold, slide), split in side.items():
        if split == "test":
            tested[fold].add(patients.get(slide))
    models = sorted(models, key=lambda model: model.name)
    faults, notes = [], []
    for model in models:
        if model.everywhere and model.name not in judging:
            notes.append(
                f"{model.name} was fitted on all slides, tested ones too (cluster.fit_on)."
            )
            continue
        folds = sorted(tested) if model.fold is None else [model.fold]
        for what, slides in (("learnt from", model.trained_on), ("was chosen on", model.chosen_on)):
            for fold, slide in ((fold, slide) for fold in folds for slide in sorted(slides)):
                split, whose = side.get((fold, slide)), patients.get(slide)
                said = f"{model.name} {what} slide {slide}"
                if split is None:
                    faults.append(("E_LEARNT", f"{said}, which is not in fold {fold}."))
                elif split == "test":
                    faults.append(("E_LEARNT", f"{said}, which fold {fold} tests."))
                elif whose in tested[fold]:
                    of = f"{said} of patient {whose}, whom fold {fold} tests."
                    faults.append(("E_LEARNT", of))
                elif split == "val" and model.recorded and what == "learnt from":
                    faults.append(("E_LEARNT", f"{said}, which fold {fold} validates on."))
    passed = "No model learnt from or was chosen on a patient that its fold tests."
    return Check("models", len(models), passed, faults, notes)


def check_thresholds(chosen: Sequence[Row], rows: Sequence[Row]) -> Check:
    """No threshold was chosen on a patient that its fold tests; `rows`: of splits.tsv.

    chosen: fold, method, rule and chosen_on (slides between spaces) of each threshold
    """
    thresholds = [
        Model(
            name=f"The threshold {row['rule']} of {row['method']} in fold {row['fold']}",
            fold=int(row["fold"]),
            trained_on=frozenset(),
            chosen_on=frozenset(row["chosen_on"].split()),
            recorded=True,
            everywhere=False,
        )
        for row in chosen
    ]
    patients = {row["slide"]: row["patient"] for row in rows}
    faults = check_models(thresholds, rows, patients, set()).faults
    passed = "No threshold was chosen on a patient that its fold tests."
    return Check("thresholds", len(thresholds), passed, faults)


def check_results(results: Sequence[Result], rows: Sequence[Row]) -> Check:
    """Every result is of models of its fold, and of no fold that trained on the slide it judges."""
    side = {(int(row["fold"]), row["slide"]): row["split"] for row in rows}
    faults = []
    for result in sorted(results, key=lambda result: result.name):
        split = side.get((result.fold, result.slide))
        if result.slide is not None and split not in ("val", "test"):
            what = "trains on it" if split else "does not have it"
            faults.append(("E_FOLD", f"{result.name} is of fold {result.fold}, which {what}."))
        faults += [
            ("E_FOLD", f"{result.name} is of fold {result.fold}, but {model.name} made it.")
            for model in sorted(result.models, key=lambda model: model.name)
            if model.fold not in (None, result.fold)
        ]
    passed = (
        "Every score and heatmap is of models of a fold that did not train on its slide, every"
        " cluster and probe of models of its fold."
    )
    return Check("results", len(results), passed, faults)


def check_sources(lost: Mapping[str, Sequence[str]]) -> Check:
    """What every unit was made from is still there; `lost`: unit -> sources that are not.

    Of all units behind results: where one has lost a source, models behind it would go unseen.
    """
    faults = [
        ("E_SOURCE", f"{unit} was made from another {name} than there is now.")
        for unit, names in sorted(lost.items())
        for name in names
    ]
    return Check("sources", len(lost), "What results were made from is there, unchanged.", faults)
