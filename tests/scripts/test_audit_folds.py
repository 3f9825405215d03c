"""The audit of a finished study: silent where nothing leaks, and exact where something does."""

import shutil
from pathlib import Path

import pytest
import yaml

from tests.scripts.audited import Audited
from workflow.lib.audit import REMEDIES

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/audit/leaks.yaml").read_text())
OUTDATED = [
    f"E_SOURCE: {model}/fold{fold} was made from another splits.tsv than there is now."
    for model in ("classifiers", "decoders/negev", "probes/kmeans")
    for fold in (0, 1)
]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return Audited(tmp_path_factory.mktemp("audited")).build()


@pytest.fixture
def study(built, tmp_path):
    """A copy of the study that a test may change."""
    shutil.copytree(built.root, tmp_path / "study")
    return Audited(tmp_path / "study")


def lines(error):
    """Codes and sentences of what was found, without what to do about it."""
    said = str(error.value).split("\nWhat to do:")[0].splitlines()
    return [line.strip() for line in said[1:]]


def test_a_study_that_leaks_nowhere_passes(study, caplog):
    with caplog.at_level("INFO"):
        rows = study.audit(group_by="site")
    assert [row["check"] for row in rows] == [
        *("patients", "sites", "tested", "twins", "models", "results", "sources"),
    ]
    assert {row["found"] for row in rows} == {"0"}
    assert [row["check"] for row in rows if row["verdict"] != "ok"] == ["twins"]
    assert rows[3]["sentence"] == (
        "No two slides of different patients show the same tissue."
        " Of 8 slides 1 shows too little tissue to compare, or cannot be used."
    )
    looked_at = {row["check"]: int(row["looked_at"]) for row in rows}
    # models: clusters, probe, classifier and decoder of each of two folds. results: fold 0 scores
    # and refines a1, a2, b and d, fold 1 b, c, d, e and empty, and seven have a heatmap.
    assert (looked_at["models"], looked_at["results"]) == (8, 4 + 4 + 5 + 5 + 7)
    assert all(row["sentence"] in caplog.text for row in rows)


def test_all_that_was_found_is_told_at_once_with_what_to_do(study):
    study.manifest("classifiers/fold0", trained_on=["a1"])
    study.manifest("scores/fold0/b", upstream="classifiers/fold1")
    with pytest.raises(ValueError) as error:
        study.audit()
    assert str(error.value).splitlines() == [
        "This study leaks (2 faults), so nothing is reported:",
        "  E_LEARNT: classifiers/fold0 learnt from slide a1, which fold 0 tests.",
        "  E_FOLD: scores/fold0/b is of fold 0, but classifiers/fold1 made it.",
        "What to do:",
        f"  E_LEARNT: {REMEDIES['E_LEARNT']}",
        f"  E_FOLD: {REMEDIES['E_FOLD']}",
    ]


def test_clusters_of_all_slides_are_noted_and_judge_nothing(study):
    study.manifest("clusters/kmeans/fold0", fit_on="all", trained_on=["a1", "c"])
    rows = {row["check"]: row for row in study.audit()}
    assert rows["models"]["verdict"] == "note"
    assert rows["models"]["sentence"].endswith(
        "clusters/kmeans/fold0 was fitted on all slides, tested ones too (cluster.fit_on)."
    )


def test_two_scans_of_one_patient_are_noted(study):
    study.copy("a2", "a1", turns=2)
    twins = next(row for row in study.audit() if row["check"] == "twins")
    assert twins["verdict"] == "note"
    said = "Slides a1 and a2, both of patient A, show the same tissue (1.00 of 1): it counts twice."
    assert said in twins["sentence"]


def test_folders_that_no_table_is_made_of_are_not_audited(study):
    """Results of an earlier config may lie about; what counts is what numbers are made of."""
    old = study.root / "classifiers" / "fold7"
    shutil.copytree(study.root / "classifiers" / "fold0", old)
    study.manifest("classifiers/fold7", trained_on=["a1"])
    assert {row["found"] for row in study.audit()} == {"0"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["leak"].replace(" ", "_"))
def test_every_leak_is_found_and_told_exactly(study, case):
    for step in case["make"]:
        ((name, arguments),) = step.items()
        getattr(study, name)(**arguments)
    expected = case["says"] + OUTDATED * case.get("split_edited", False)
    with pytest.raises(ValueError, match="This study leaks") as error:
        study.audit(**case.get("audit", {}))
    assert lines(error) == expected
    assert not (study.root / "audit.tsv").exists()


def test_every_code_has_a_case():
    assert {line.split(":")[0] for case in CASES for line in case["says"]} == set(REMEDIES)
