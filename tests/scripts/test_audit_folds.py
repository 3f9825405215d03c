"""The audit of a finished study: silent where nothing leaks, and exact where something does."""

import shutil
from functools import cache
from pathlib import Path

import pytest
import yaml

from tests.scripts.audited import Audited
from tests.scripts.outcome import SLIDES
from workflow.lib.cohort.audit import REMEDIES

CASES = yaml.safe_load((Path(__file__).parents[1] / "cases/audit/leaks.yaml").read_text())
# What says that it was made from splits.tsv, in the order of names: 21 units, of which the first 20
# are told. No decoder and no heatmap asks for the cams that fold 0 has of the slide that is lost.
CAMS = [f"cams/fold{f}/{s}" for f in (0, 1) for s in sorted(SLIDES) if (f, s) != (0, "lost")]
PLACED = [*CAMS, *(f"{s}/fold{f}" for s in ("classifiers", "decoders/negev") for f in (0, 1))]
OUTDATED = [
    f"E_SOURCE: {unit} was made from another splits.tsv than there is now."
    for unit in [*PLACED, "probes/kmeans/fold0"]
] + ["E_SOURCE: and 1 more."]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a finished study, by the level of its labels."""
    return cache(lambda level: Audited(tmp_path_factory.mktemp(level)).build(level).root)


@pytest.fixture
def study(built, tmp_path):
    """A copy of the study that a test may change."""
    return copied(built("image"), tmp_path / "study")


def copied(root, to):
    shutil.copytree(root, to)
    return Audited(to)


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
    # and refines a1, a2, b and d, fold 1 b, c, d, e and empty, and seven have a heatmap; there are
    # a probe of each fold and clusters of seven slides in both.
    assert (looked_at["models"], looked_at["results"]) == (8, 4 + 4 + 5 + 5 + 7 + 2 * (1 + 7))
    assert all(row["sentence"] in caplog.text for row in rows)


def test_bags_are_audited_where_labels_are_of_slides(built, study):
    """Those of test slides, a1, a2 and b of fold 0, c, d, e and empty of fold 1: 7 results more."""
    rows = study.audit()
    images = {row["check"]: int(row["looked_at"]) for row in rows}
    slides = copied(built("slide"), study.root.with_name("bags")).audit()
    assert {row["found"] for row in slides} == {"0"}
    more = {row["check"]: int(row["looked_at"]) - images[row["check"]] for row in slides}
    # Of each fold an aggregator, and what it says of seven slides, or eight where a model asks for
    # the one that is lost: fold 1 trains on it. Labels of tiles are of train and val slides: 4, 4.
    sources = 2 + (7 + 8) + (4 + 4)
    assert {check: count for check, count in more.items() if count} == {
        "models": 2,
        "results": 7,
        "sources": sources,
    }


def test_folders_above_may_be_called_like_a_fold(built, tmp_path):
    """Neither what has no fold in its name, a heatmap, nor what has is of fold 7."""
    assert {row["found"] for row in copied(built("image"), tmp_path / "fold7/study").audit()} == {
        "0"
    }
    assert {row["found"] for row in copied(built("image"), tmp_path / "fold8").audit()} == {"0"}


def test_all_that_was_found_is_told_at_once_with_what_to_do(study):
    study.manifest("classifiers/fold0", trained_on=["a1"])
    study.manifest("scores/fold0/b", upstream="classifiers/fold1")
    with pytest.raises(ValueError) as error:
        study.audit()
    assert str(error.value).splitlines() == [
        "E_LEAK: This study leaks (2 faults), so nothing is reported:",
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
def test_every_leak_is_found_and_told_exactly(built, tmp_path, case):
    study = copied(built(case.get("level", "image")), tmp_path / "study")
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
