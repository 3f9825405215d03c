"""The checks of the audit on tables alone; tests/scripts/test_audit_folds.py has the leaks."""

import dataclasses

import pytest

from workflow.lib.cohort.ancestry import Model
from workflow.lib.cohort.audit import (
    REMEDIES,
    SHOWN,
    Check,
    check_patients,
    check_sites,
    check_tested,
    refuse,
)
from workflow.lib.cohort.audit_models import Result, check_models, check_results

PATIENTS = {"a": "A", "b": "B", "c": "C"}


def rows(*placed):
    """Rows of splits.tsv from (fold, slide, split)."""
    return [
        {"fold": str(fold), "slide": slide, "patient": PATIENTS[slide], "split": split}
        for fold, slide, split in placed
    ]


SPLIT = rows((0, "a", "train"), (0, "b", "val"), (0, "c", "test"))


def model(name="classifiers/fold0", fold=0, **changes):
    about = {"trained_on": frozenset("a"), "chosen_on": frozenset("b")}
    return Model(name, fold, **(about | {"recorded": True, "everywhere": False} | changes))


def test_one_given_split_tests_what_it_tests():
    found = check_tested(SPLIT)
    assert found.faults == []
    assert found.row()["sentence"] == "There is one fold, which tests 1 of 3 slides."


def test_a_study_without_labels_has_nothing_to_leak():
    placed = rows(*((0, slide, "train") for slide in "abc"))
    for found in (check_tested(placed), check_patients(placed, PATIENTS)):
        assert found.row()["verdict"] == "ok"


def test_training_and_validation_may_share_a_site():
    sites = {"a": "north", "b": "north", "c": "south"}
    assert check_sites(SPLIT, sites).faults == []
    assert check_sites(SPLIT, sites | {"c": None}).faults == []
    ((code, sentence),) = check_sites(SPLIT, sites | {"c": "north"}).faults
    assert code == "E_SITE"
    assert sentence == "Site north is on two sides of fold 0: a, b trained on; c tested."


def test_a_model_of_no_fold_may_know_no_tested_slide():
    assert check_models([model(fold=None)], SPLIT, PATIENTS, set()).faults == []
    knows = model("shared", fold=None, trained_on=frozenset("c"))
    (fault,) = check_models([knows], SPLIT, PATIENTS, set()).faults
    assert fault == ("E_LEARNT", "shared learnt from slide c, which fold 0 tests.")


def test_a_model_that_does_not_say_may_have_used_validation_slides():
    unrecorded = model(trained_on=frozenset("ab"), recorded=False)
    assert check_models([unrecorded], SPLIT, PATIENTS, set()).faults == []


def test_a_slide_that_was_never_placed_is_found():
    (fault,) = check_models([model(trained_on=frozenset("x"))], SPLIT, PATIENTS, set()).faults
    assert fault[1] == "classifiers/fold0 learnt from slide x, which is not in fold 0."


def test_clusters_of_all_slides_must_not_judge():
    everywhere = model("clusters/kmeans/fold0", trained_on=frozenset("abc"), everywhere=True)
    noted = check_models([everywhere], SPLIT, PATIENTS, set())
    assert (noted.row()["verdict"], noted.faults) == ("note", [])
    judging = check_models([everywhere], SPLIT, PATIENTS, {"clusters/kmeans/fold0"})
    assert [code for code, _ in judging.faults] == ["E_LEARNT", "E_LEARNT"]


def test_a_result_of_a_fold_that_does_not_know_its_slide():
    found = check_results([Result("scores/fold1/a", "a", 1, [model(fold=1)])], SPLIT)
    assert found.faults == [("E_FOLD", "scores/fold1/a is of fold 1, which does not have it.")]


def test_clusters_may_be_of_training_slides_but_not_by_another_fold():
    of = Result("assignments/kmeans/fold0/a", None, 0, [model("clusters/kmeans/fold0")])
    assert check_results([of], SPLIT).faults == []
    by_another = dataclasses.replace(of, models=[model("clusters/kmeans/fold1", fold=1)])
    (fault,) = check_results([by_another], SPLIT).faults
    assert fault == ("E_FOLD", f"{of.name} is of fold 0, but clusters/kmeans/fold1 made it.")
    of_all = dataclasses.replace(of, models=[model("shared", fold=None)])
    assert check_results([of_all], SPLIT).faults == []


@pytest.mark.parametrize(("count", "more"), [(SHOWN, []), (SHOWN + 1, ["and 1 more."])])
def test_of_many_alike_the_first_are_told_and_the_others_counted(count, more):
    """Per code, whichever check found them; nothing of another code is lost among them."""
    many = [("E_SOURCE", f"Unit {number} is gone.") for number in range(count)]
    checks = [
        Check("models", 3, "Fine.", faults=many[:5]),
        Check("results", 3, "Fine.", faults=[("E_FOLD", "Oh.")]),
        Check("sources", 3, "Fine.", faults=many[5:]),
    ]
    with pytest.raises(ValueError) as error:
        refuse(checks)
    assert str(error.value).splitlines() == [
        f"E_LEAK: This study leaks ({count + 1} faults), so nothing is reported:",
        *(f"  E_SOURCE: Unit {number} is gone." for number in range(SHOWN)),
        *(f"  E_SOURCE: {said}" for said in more),
        "  E_FOLD: Oh.",
        "What to do:",
        f"  E_SOURCE: {REMEDIES['E_SOURCE']}",
        f"  E_FOLD: {REMEDIES['E_FOLD']}",
    ]


def test_nothing_is_refused_without_a_fault():
    refuse([Check("patients", 3, "Fine.", notes=["Mind you."])])
    with pytest.raises(ValueError, match=r"This study leaks \(1 fault\)"):
        refuse([Check("patients", 3, "Fine.", faults=[("E_SITE", "Oh.")])])
