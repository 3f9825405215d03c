import shutil

import numpy as np
import pytest

from tests.scripts import outcome
from workflow.lib.jobs.shard import visit
from workflow.lib.jobs.tables import METRICS, read_table
from workflow.lib.tiles.stores import create_group
from workflow.lib.tiles.tile_labels import write_labels
from workflow.scripts.evaluate_classifier import evaluate_classifier

TUMOUR = {  # probability of each of six tiles
    "a1": [0.1, 0.2, 0.1, 0.2, 0.1, 0.6],
    "a2": [0.9, 0.8, 0.9, 0.8, 0.9, 0.3],
    "b": [0.2, 0.3, 0.2, 0.3, 0.2, 0.5],
    "c": [0.6] * 6,
    "d": [0.9] * 6,
    "e": [0.7] * 6,
    "empty": [],
    "lost": [0.9] * 6,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = tmp_path_factory.mktemp("scores")
    outcome.build(study)
    outcome.write_scores(study, TUMOUR.__getitem__)
    return study


def evaluate(study, **changes):
    given = {
        "scores": [study / "scores" / f"fold{fold}" / "all.json" for fold in (0, 1)],
        "bag_scores": None,
        "tile_labels": None,
        "classifiers": [study / "classifiers" / f"fold{fold}.json" for fold in (0, 1)],
        "splits": study / "splits.tsv",
        "evaluation": study / "classifier.tsv",
        "slides": study / "slides.tsv",
        "curves": study / "curves.tsv",
        "shard": outcome.shard("evaluate_classifier"),
        "classes": outcome.CLASSES,
        "negative": "normal",
        "level": "image",
        "pooling": "mean",
        "seed": 0,
        "bootstrap": 200,
    }
    evaluate_classifier(**(given | changes))
    rows = read_table(study / "classifier.tsv")
    return {(row["fold"], row["level"], row["metric"]): row for row in rows}


def test_slides_are_scored_by_hand(study):
    rows = evaluate(study)
    values = {key: row["value"] for key, row in rows.items()}
    # fold 0: normal a1 .22, tumour a2 .77 and b .28 (called normal)
    assert values["0", "image", "auroc"] == "1"
    assert float(values["0", "image", "accuracy"]) == pytest.approx(2 / 3, abs=1e-6)
    assert values["0", "image", "balanced_accuracy"] == "0.75"
    # all: normal .22 .6, tumour .77 .28 .9 .7: of 8 pairs only .6 over .28 is wrong
    assert values["all", "image", "auroc"] == "0.875"
    cells = {
        (t, p): values["all", "image", f"confusion[true={t},predicted={p}]"]
        for t in outcome.CLASSES
        for p in outcome.CLASSES
    }
    assert list(cells.values()) == ["1", "1", "1", "3"]
    assert rows["all", "image", "auroc"]["method"] == "classifier (mean)"
    assert tuple(rows["all", "image", "auroc"]) == METRICS


def test_slides_without_tiles_or_scores_are_listed_but_not_counted(study):
    rows = evaluate(study)
    assert [rows[fold, "image", "auroc"]["n"] for fold in ("0", "1", "all")] == ["3", "3", "6"]
    listed = {row["slide"]: row for row in read_table(study / "slides.tsv")}
    assert listed["empty"]["note"] == "no tile to classify" and listed["empty"]["predicted"] == ""
    assert listed["lost"]["note"].startswith("not classified")
    assert listed["b"]["predicted"] == "normal" and listed["b"]["label"] == "tumour"
    assert float(listed["b"]["score[tumour]"]) == pytest.approx(0.283333, abs=1e-6)


def test_tiles_carry_the_label_of_their_image(study):
    rows = evaluate(study)
    # fold 0, five tiles each, the sixth could not be read: a1 and a2 are right and b is not
    assert float(rows["0", "tile", "accuracy"]["value"]) == pytest.approx(10 / 15, abs=1e-6)
    cells = [row["value"] for key, row in rows.items() if key[:2] == ("0", "tile")][-4:]
    assert cells == ["5", "0", "5", "5"]
    assert {row["tiles"] for row in read_table(study / "slides.tsv")} == {"0", "6"}
    assert rows["0", "tile", "auroc"]["n"] == "3"


@pytest.mark.parametrize("level", ["slide", "annotation"])
def test_tiles_are_not_scored_where_only_slides_are_labelled(study, level):
    rows = evaluate(study, level=level)
    assert {key[1] for key in rows} == {level}
    assert {row["level"] for row in read_table(study / "curves.tsv")} == {level}


def write_units(study, folder, work):
    """Units of both folds: work(name, its split, folder)."""
    for fold in (0, 1):
        index = study / folder / f"fold{fold}" / "all.json"

        def of_slide(slide, unit, fold=fold):
            return work(slide.slide, outcome.SLIDES[slide.slide][2 + fold], unit, fold)

        visit(index, outcome.shard(folder), of_slide, upstream=[study / "tiles"])
    return [study / folder / f"fold{fold}" / "all.json" for fold in (0, 1)]


def test_bags_have_rows_of_their_own(study):
    """Fold 0: normal a1 .1, tumour a2 .9 and b .8; fold 1: normal c .6, tumour d .7 and e .2."""
    tumour = {"a1": 0.1, "a2": 0.9, "b": 0.8, "c": 0.6, "d": 0.7, "e": 0.2}

    def work(slide, split, unit, fold):
        create_group(unit / "bag_scores.zarr", {"classes": outcome.CLASSES, "fold": fold})
        score = tumour.get(slide)
        return {"pooled": None if score is None else [1 - score, score]}

    bags = write_units(study, "bag_scores", work)
    evaluate(study, level="slide", bag_scores=bags)
    rows = {
        (row["method"], row["fold"], row["metric"]): row
        for row in read_table(study / "classifier.tsv")
    }
    assert {row["level"] for row in rows.values()} == {"slide"}
    assert {method for method, _, _ in rows} == {"classifier (mean)", "abmil"}
    assert rows["abmil", "0", "auroc"]["value"] == "1"
    # of eight pairs of normal .1 .6 and tumour .9 .8 .7 .2 one is wrong: .6 over .2
    pooled = rows["abmil", "all", "auroc"]
    assert (pooled["value"], pooled["n"], pooled["pixel_masks_used"]) == ("0.875", "6", "0")
    assert rows["abmil", "all", "confusion[true=normal,predicted=tumour]"]["value"] == "1"
    assert rows["classifier (mean)", "all", "auroc"]["value"] == "0.875"
    evaluate(study, level="slide", bag_scores=bags, bags="top_k")
    named = {row["method"] for row in read_table(study / "classifier.tsv")}
    assert named == {"classifier (mean)", "top_k"}
    shutil.rmtree(study / "bag_scores" / "fold0")
    shutil.copytree(study / "bag_scores" / "fold1", study / "bag_scores" / "fold0")
    with pytest.raises(RuntimeError, match="bag scores of fold 1.*but fold 0"):
        evaluate(study, level="slide", bag_scores=bags)


def test_tiles_are_scored_by_their_masks_and_every_row_says_how_many_taught(study):
    """The first three tiles of a tumour slide are marked, of b none is known."""

    def work(slide, unit):
        name = slide.slide
        labels = np.where(np.arange(outcome.count(name)) < 3, slide.label == "tumour", 0)
        labels[5:] = -1
        write_labels(unit, np.full_like(labels, -1) if name == "b" else labels, outcome.CLASSES)
        return {"mask": name in ("a2", "d", "e")}

    marked = study / "tile_labels" / "marked" / "all.json"
    visit(marked, outcome.shard("mark_tiles"), work, upstream=[study / "tiles"])
    outcome.write_classifiers(study, {0: ["d", "e"], 1: ["a2"]})
    rows = evaluate(study, level="annotation", tile_labels=[marked])
    outcome.write_classifiers(study)
    assert {key[1] for key in rows} == {"annotation", "tile"}
    used = {key[0]: row["pixel_masks_used"] for key, row in rows.items()}
    assert used == {"0": "2", "1": "1", "all": "3"}
    # fold 0: five tiles of a1 at most .2 and of a2 three marked at .9 .8 .9 and two not at .8 .9
    cells = [row["value"] for key, row in rows.items() if key[:2] == ("0", "tile")][-4:]
    assert cells == ["5", "2", "0", "3"]
    assert rows["0", "tile", "auroc"]["n"] == "2"
    # marked over not: 3 x 5 pairs with a1, of 3 x 2 within a2 .9 > .8 twice, .9 = .9 twice, .8 = .8
    expected = (15 + 2 + 3 * 0.5) / 21
    assert float(rows["0", "tile", "auroc"]["value"]) == pytest.approx(expected, abs=1e-6)


def test_one_class_alone_gives_an_empty_auroc_not_0(study):
    members = [slide for slide in outcome.shard("x").slides if slide.slide in ("b", "d", "e")]
    only = type(outcome.shard("x"))("all", members, {})
    rows = evaluate(study, shard=only)
    row = rows["all", "image", "auroc"]
    assert row["value"] == row["ci_low"] == row["ci_high"] == "" and row["n"] == "3"
    assert rows["all", "image", "accuracy"]["value"] == "0.666667"


def test_one_patient_alone_has_no_interval(study):
    members = [slide for slide in outcome.shard("x").slides if slide.patient == "A"]
    rows = evaluate(study, shard=type(outcome.shard("x"))("all", members, {}))
    row = rows["0", "image", "auroc"]
    assert (row["value"], row["ci_low"], row["ci_high"]) == ("1", "", "")


def test_validation_slides_are_never_scored(study):
    evaluate(study)
    listed = [(row["slide"], row["fold"]) for row in read_table(study / "slides.tsv")]
    expected = [
        (name, str(fold))
        for fold in (0, 1)
        for name, about in outcome.SLIDES.items()
        if about[2 + fold] == "test"
    ]
    assert listed == expected


def test_curves_have_a_point_per_score_of_the_second_class(study):
    evaluate(study)
    points = [
        row
        for row in read_table(study / "curves.tsv")
        if (row["level"], row["fold"]) == ("image", "all")
    ]
    assert {row["class"] for row in points} == {"tumour"}
    assert len(points) == 6
    assert (points[0]["precision"], points[0]["recall"]) == ("1", "0.25")
    assert (points[-1]["false_positive_rate"], points[-1]["recall"]) == ("1", "1")


def test_the_class_that_is_not_negative_is_the_positive_one(study):
    second = evaluate(study)["all", "image", "average_precision"]["value"]
    first = evaluate(study, negative="tumour")["all", "image", "average_precision"]["value"]
    assert {row["class"] for row in read_table(study / "curves.tsv")} == {"normal"}
    # normal .78 .4, tumour .23 .72 .1 .3: right at ranks 1 and 3
    assert float(first) == pytest.approx((1 + 2 / 3) / 2, abs=1e-6)
    assert first != second
    unknown = evaluate(study, negative=None)["all", "image", "average_precision"]["value"]
    assert unknown == second


def test_scores_of_other_classes_are_refused(study):
    classes = ["tumour", "normal"]
    with pytest.raises(RuntimeError, match=r"classify its tiles again"):
        evaluate(study, classes=classes)


def test_no_test_slide_gives_empty_tables(study):
    rows = evaluate(study, shard=type(outcome.shard("x"))("all", [], {}))
    assert rows == {} and read_table(study / "slides.tsv") == []
