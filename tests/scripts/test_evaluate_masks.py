import shutil
from dataclasses import replace

import numpy as np
import pytest

from tests.scripts import outcome
from tests.scripts.evaluated import evaluate, value
from workflow.lib.jobs.shard import visit
from workflow.lib.jobs.tables import METRICS, read_table


@pytest.fixture
def study(predicted, tmp_path):
    return shutil.copytree(predicted, tmp_path / "study")


def test_a_perfect_map_is_perfect(study):
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    rows, slides = evaluate(study)
    for fold in ("0", "1", "all"):
        for metric in ("dice_fg", "dice_bg", "iou_fg", "iou_bg", "miou"):
            for rule in ("otsu_val", "best_val"):
                assert value(rows, fold, f"{metric}@{rule}") == 1
        assert value(rows, fold, "pxap") == 100
        assert value(rows, fold, "truth_uncovered") == 0
    assert tuple(rows["all", "pxap"]) == METRICS
    assert {row["level"] for row in rows.values()} == {"pixel"}
    assert [row["n"] for row in (rows["0", "pxap"], rows["1", "pxap"])] == ["3", "2"]
    # fold 0 pools a1, a2 and b: half of two slides of three is foreground
    assert value(rows, "0", "pxap_chance") == pytest.approx(100 / 3, abs=1e-3)
    assert {row["slide"]: row["note"] for row in slides}["lost"].startswith("there is no heatmap")


def test_a_constant_map_scores_the_share_of_foreground_and_has_no_threshold(study):
    outcome.write_maps(study, "none", lambda slide: np.full((32, 48), 0.4))
    rows, slides = evaluate(study, "none")
    for fold in ("0", "1", "all"):
        assert rows[fold, "pxap"]["value"] == rows[fold, "pxap_chance"]["value"]
        assert (fold, "dice_fg@otsu_val") not in rows
    assert all(row["threshold"] == row["dice_fg"] == "" for row in slides)


def test_rows_of_a_supervised_method_say_how_many_masks_it_learnt_from(study):
    truth = lambda slide: 0.2 + 0.6 * outcome.truth(slide)  # noqa: E731
    outcome.write_maps(study, "unet", truth, masks=["d", "e", "f"])
    rows, _ = evaluate(study, "unet")
    used = {key: row["pixel_masks_used"] for key, row in rows.items()}
    assert used["0", "pxap"] == used["all", "miou@otsu_val"] == "3"
    assert used["0", "miou@best_val"] == "3"  # d chose the threshold as well
    assert used["1", "miou@best_val"] == "4"


@pytest.mark.parametrize(("method", "used"), [("unet", "4"), ("svm", "2")])
def test_masks_that_taught_the_classifier_are_behind_what_builds_on_it(study, method, used):
    """Those that chose its epoch are in its facts as well. svm has nothing of a classifier."""
    outcome.write_maps(study, method, outcome.truth, masks=["f", "g"])
    outcome.write_classifiers(study, {0: ["d", "e"]})
    rows, _ = evaluate(study, method)
    assert rows["0", "pxap"]["pixel_masks_used"] == used


def test_truth_outside_of_the_tiles_is_reported_not_scored(study, monkeypatch):
    """Without its left column of tiles, a slide loses two thirds of its foreground."""
    corners = outcome.CORNERS[outcome.CORNERS[:, 1] > 0]
    monkeypatch.setattr(outcome, "CORNERS", corners)
    real = outcome.write_heatmap

    def half_covered(path, bands, shape, **about):
        ((row, probability, covered),) = bands
        covered[:, : outcome.TILE] = False
        return real(path, [(row, probability * covered, covered)], shape, **about)

    monkeypatch.setattr(outcome, "write_heatmap", half_covered)
    shutil.rmtree(study)
    study.mkdir()
    outcome.build(study)
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    rows, slides = evaluate(study)
    assert value(rows, "0", "truth_uncovered") == pytest.approx(2 / 3, abs=1e-6)
    assert value(rows, "0", "pxap") == 100
    b = next(row for row in slides if row["slide"] == "b")
    assert (b["n_pixels"], b["foreground"]) == (str(32 * 32), "0.25")


def test_a_mask_that_does_not_fit_leaves_its_slide_out_and_says_so(study):
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    shutil.copy(study / "splits.tsv", study / "masks" / "a2.png")
    rows, slides = evaluate(study)
    note = next(row["note"] for row in slides if row["slide"] == "a2")
    assert "a2.png" in note
    assert rows["0", "pxap"]["n"] == "2"


def test_a_heatmap_of_another_fold_stops_the_evaluation(study):
    outcome.write_maps(study, "negev", outcome.truth)

    def swap(slide, folder):
        shutil.copytree(
            study / "heatmaps" / "negev" / "b" / "heatmap.ome.zarr", folder / "heatmap.ome.zarr"
        )
        return {"fold": 1, "scale_px0": 1.0}

    visit(
        study / "heatmaps" / "negev" / "b.json", outcome.shard("stitch_heatmap"), swap, only={"b"}
    )
    with pytest.raises(RuntimeError, match=r"b is tested in fold 0 but .* fold 1"):
        evaluate(study)


def test_without_truth_the_tables_are_empty(study):
    outcome.write_maps(study, "negev", outcome.truth)
    rows, slides = evaluate(study, shard=outcome.shard("evaluate_masks"))
    assert rows == {} and slides == []
    assert (study / "masks.tsv").read_text() == "\t".join(METRICS) + "\n"
    assert len((study / "curves.tsv").read_text().splitlines()) == 1


def test_negative_slides_without_a_mask_are_all_background(study):
    """a1 has a mask without foreground; without the mask its label says the same. c has none."""
    outcome.write_maps(study, "negev", lambda slide: np.full((32, 48), 0.4))
    with_masks, _ = evaluate(study, negative=None)
    given = outcome.shard("evaluate_masks", study)
    bare = [replace(slide, mask=None) if slide.slide == "a1" else slide for slide in given.slides]
    given = replace(given, slides=bare)
    rows, slides = evaluate(study, shard=given, negative="normal")
    assert rows["0", "pxap"] == with_masks["0", "pxap"]
    assert rows["1", "pxap"]["n"] == "3"  # c is there as well; the slide without a tile is not
    assert rows["1", "truth_uncovered"]["n"] == "4"
    assert value(rows, "1", "pxap") == pytest.approx(100 / 3, abs=1e-4)
    assert {row["slide"] for row in slides} >= {"a1", "c", "empty"}
    without, _ = evaluate(study, shard=given)
    assert without["0", "pxap"]["n"] == "2"


def test_labels_alone_are_no_pixel_truth(study):
    outcome.write_maps(study, "negev", outcome.truth)
    rows, _ = evaluate(study, shard=outcome.shard("evaluate_masks"), negative="normal")
    assert rows == {}


def test_curves_begin_at_full_recall(study):
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    evaluate(study)
    points = [row for row in read_table(study / "curves.tsv") if row["fold"] == "all"]
    assert points[0]["threshold"] == "0" and points[0]["recall"] == "1"
    middle = next(row for row in points if row["threshold"] == "0.5")
    assert (middle["precision"], middle["recall"]) == ("1", "1")
    assert points[-1]["precision"] == "" and points[-1]["recall"] == "0"


def test_the_same_seed_gives_the_same_bytes(study):
    rng = np.random.default_rng(0)
    noise = {name: rng.random((32, 48)) * 0.7 for name in outcome.SLIDES}
    outcome.write_maps(study, "negev", lambda slide: noise[slide] + 0.3 * outcome.truth(slide))
    evaluate(study)
    first = (study / "masks.tsv").read_bytes()
    rows, _ = evaluate(study)
    assert (study / "masks.tsv").read_bytes() == first
    low, high = (float(rows["all", "pxap"][end]) for end in ("ci_low", "ci_high"))
    assert low < value(rows, "all", "pxap") < high
