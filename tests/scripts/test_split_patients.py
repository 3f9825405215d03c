"""The rule writes the one table that later stages read, whole or not at all."""

from pathlib import Path

import pytest

from workflow.lib.cohort.sheet import Slide
from workflow.lib.cohort.splits import SplitError
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import read_table
from workflow.scripts.split_patients import split_patients

SETTINGS = {"folds": 3, "val_fraction": 0.5, "group_by": "patient", "seed": 0}


def shard(labels: str) -> Shard:
    names = {"n": "normal", "t": "tumour", "-": None}
    slides = [
        Slide(f"s{index}", Path("x"), f"p{index}", names[letter])
        for index, letter in enumerate(labels)
    ]
    return Shard("all", slides, {"rule": "split_patients", "slides": {}, "settings": SETTINGS})


def test_writes_a_row_per_fold_and_slide(tmp_path):
    split_patients(tmp_path / "splits.tsv", shard=shard("nnnttt"), **SETTINGS)
    rows = read_table(tmp_path / "splits.tsv")
    assert list(rows[0]) == ["fold", "slide", "patient", "label", "split"]
    assert [(row["fold"], row["slide"]) for row in rows] == [
        (str(fold), f"s{index}") for fold in range(3) for index in range(6)
    ]
    assert {row["split"] for row in rows} == {"train", "val", "test"}
    assert [path.name for path in tmp_path.iterdir()] == ["splits.tsv"]


def test_same_bytes_for_another_order_of_rows(tmp_path):
    one, two = shard("nnnttt"), shard("nnnttt")
    two = Shard("all", one.slides[::-1], two.recipe)
    for name, each in (("one", one), ("two", two)):
        split_patients(tmp_path / name, shard=each, **SETTINGS)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_unlabelled_slides_have_an_empty_label(tmp_path):
    split_patients(tmp_path / "splits.tsv", shard=shard("--"), **SETTINGS)
    text = (tmp_path / "splits.tsv").read_text()
    assert text == "fold\tslide\tpatient\tlabel\tsplit\n0\ts0\tp0\t\ttrain\n0\ts1\tp1\t\ttrain\n"


def test_a_refused_cohort_leaves_no_table(tmp_path):
    with pytest.raises(SplitError, match="class tumour has too few patients"):
        split_patients(tmp_path / "splits.tsv", shard=shard("nnnt"), **SETTINGS)
    assert not list(tmp_path.iterdir())


def test_warns_of_test_sets_without_a_class(tmp_path, caplog):
    with caplog.at_level("INFO"):
        split_patients(tmp_path / "splits.tsv", shard=shard("nnnnttt"), **SETTINGS | {"folds": 4})
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "has no test slide labelled tumour; scores that compare classes" in warnings[0]
    assert "Placed 7 slides of 7 patients; folds: 4." in caplog.messages
