"""Slides as bags, and tiles labelled by masks: the whole workflow, and what an edit reruns."""

import re

import pytest

from tests.workflow.stages import CLASSIFIER, MASK_SCORES, REPORT
from tests.workflow.study import Study
from workflow.lib.jobs.tables import read_table
from workflow.lib.tiles.stores import open_group

LABELS = {"level": "slide", "classes": ["normal", "tumour"], "negative": "normal"}
BAGS = {
    "labels": LABELS,
    "train_aggregator": {"epochs": 6, "hidden": 16, "patience": 6},
    "slides_per_shard": 8,
}
LABELLED = {"label_tiles"} | CLASSIFIER
MARKED = {"mark_tiles"} | CLASSIFIER
AGGREGATED = {"train_aggregator", "score_bags"} | LABELLED


@pytest.fixture(scope="module")
def bagged(tmp_path_factory):
    """A study of slides as bags that ran to its report."""
    study = Study.make(tmp_path_factory.mktemp("bagged"), **BAGS)
    study.run()
    return study


@pytest.fixture
def study(bagged, tmp_path):
    return bagged.copy(tmp_path / "study")


@pytest.fixture
def planned(bagged, tmp_path):
    return bagged.beside(tmp_path / "study")


def test_slides_are_bags_from_features_to_the_report(bagged):
    results = bagged.results
    placed = read_table(results / "splits.tsv")
    for row in placed:
        fold, slide = f"fold{row['fold']}", row["slide"]
        group = open_group(results / "bag_scores" / fold / slide / "bag_scores.zarr")
        (count,) = open_group(results / "features" / slide / "features.zarr")["bad"].shape
        assert group["attention"].shape == (count,) and group["evidence"].shape == (count, 2)
        assert group["attention"][:].sum() == pytest.approx(1, abs=1e-5)
        unit = results / "tile_labels" / fold / slide
        assert unit.is_dir() == (row["split"] != "test")  # labels come from a model of the fold
        if unit.is_dir():
            labels = open_group(unit / "tile_labels.zarr")["labels"][:]
            assert set(labels) == ({0} if row["label"] == "normal" else {-1, 0, 1})
    measured = read_table(results / "metrics.tsv")
    of_slides = [
        r for r in measured if (r["level"], r["metric"], r["fold"]) == ("slide", "auroc", "all")
    ]
    assert sorted(row["method"] for row in of_slides) == ["abmil", "classifier (mean)"]
    assert {row["n"] for row in of_slides} == {"8"}
    assert not [row for row in measured if row["level"] == "tile" and row["method"] == "classifier"]
    page = (results / "report.html").read_text()
    assert "slide, by attention" in page
    started = r"Bags of tiles, fold 0</td><td class=\"text\"><code>random</code>"
    assert re.search(started, page)


EDITS = {
    "nothing": (lambda s: None, set()),
    "the share of tiles at the top": (
        lambda s: s.edit_config("label_tiles", top_share=0.2),
        LABELLED,
    ),
    "the tiles of a step": (
        lambda s: s.edit_config("train_aggregator", max_tiles=9),
        AGGREGATED,
    ),
    "the tiles with the highest scores in place of attention": (
        lambda s: s.edit_config("train_aggregator", pooling="top_k"),
        AGGREGATED,
    ),
    "how many of these, which attention does not read": (
        lambda s: s.edit_config("train_aggregator", top_tiles=5),
        REPORT,
    ),
    "every tile carries the label of its image": (
        lambda s: s.edit_config("labels", level="image"),
        CLASSIFIER,
    ),
    "tiles labelled by masks": (
        lambda s: s.edit_config("labels", level="annotation"),
        MARKED,
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_one_edit_of_a_study_of_bags_exactly_these_rules(planned, name):
    change, expected = EDITS[name]
    change(planned)
    assert set(planned.would_run()) == expected


def test_at_level_image_nothing_of_bags_or_masks_is_run(tmp_path):
    study = Study.make(tmp_path, slides=4)
    jobs = study.would_run()
    assert not {"train_aggregator", "score_bags", "label_tiles", "mark_tiles"} & set(jobs)


@pytest.mark.slow
def test_tiles_labelled_by_masks_say_so_in_every_number(study):
    study.edit_config("labels", level="annotation")
    study.run()
    measured = read_table(study.results / "metrics.tsv")
    taught = {("classifier (mean)", "annotation"), ("classifier", "tile"), ("none", "pixel")}
    rows = [r for r in measured if (r["method"], r["level"]) in taught | {("negev", "pixel")}]
    # Each fold learns from and validates on three tumour slides or so; together on all four.
    assert {row["pixel_masks_used"] for row in rows if row["fold"] == "all"} == {"4"}
    assert all(int(row["pixel_masks_used"]) > 0 for row in rows)
    assert {(row["method"], row["level"]) for row in rows} == taught | {("negev", "pixel")}
    page = (study.results / "report.html").read_text()
    assert "pixel masks used" in page and "; 0 pixel masks used" not in page
    # A mask of a slide reruns what was learnt from it.
    mask = sorted((study.folder / "cohort").rglob("*.png"))[1]
    mask.write_bytes(mask.read_bytes() + b"\0")
    assert set(study.would_run()) == MARKED | MASK_SCORES
    study.edit_config("mark_tiles", annotated_share=0.5)
    assert set(study.would_run()) == MARKED | MASK_SCORES | REPORT
