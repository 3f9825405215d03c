import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.scripts import outcome
from workflow.lib.jobs.shard import visit
from workflow.lib.jobs.tables import METRICS, read_table
from workflow.lib.refine.drawn_slides import draw_slides
from workflow.scripts.evaluate_masks import evaluate_masks


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    study = tmp_path_factory.mktemp("masks")
    outcome.build(study)
    return study


@pytest.fixture
def study(built, tmp_path):
    shutil.copytree(built, tmp_path / "study")
    return tmp_path / "study"


def evaluate(study, method="negev", **changes):
    index = {name: [study / name / "all.json"] for name in ("tiles", "checks")}
    given = {
        "heatmaps": [study / "heatmaps" / method / "all.json"],
        "refined": [study / "refined" / method / f"fold{fold}" / "all.json" for fold in (0, 1)],
        "classifiers": [study / "classifiers" / f"fold{fold}.json" for fold in (0, 1)],
        "splits": study / "splits.tsv",
        "evaluation": study / "masks.tsv",
        "slides": study / "slides.tsv",
        "curves": study / "curves.tsv",
        "shard": outcome.shard("evaluate_masks", study),
        "method": method,
        "masks": None,
        "negative": None,
        "window": "hann",
        "seed": 0,
        "bootstrap": 200,
    }
    evaluate_masks(**(index | given | changes))
    rows = read_table(study / "masks.tsv")
    return {(row["fold"], row["metric"]): row for row in rows}, read_table(study / "slides.tsv")


def value(rows, fold, metric):
    return float(rows[fold, metric]["value"])


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


def test_thresholds_come_from_the_validation_slides_of_the_fold(study):
    """Validation maps of fold 0 (slide d) lie higher than its test maps; fold 1 the other way."""
    shift = {"d": 0.3, "a2": 0.0, "b": 0.1}

    def probability(slide):
        return 0.2 + shift.get(slide, 0) + 0.3 * outcome.truth(slide)

    outcome.write_maps(study, "negev", probability)
    rows, slides = evaluate(study)
    # d is 0.5 against 0.8: Otsu takes the middle, and the best is the lowest that parts them
    assert value(rows, "0", "threshold@otsu_val") == pytest.approx(0.65, abs=0.01)
    assert value(rows, "0", "threshold@best_val") == pytest.approx(0.501, abs=0.001)
    # at 0.65 nothing of a2 (0.5) and b (0.6) is found, at 0.501 only b is
    assert value(rows, "0", "dice_fg@otsu_val") == 0
    assert value(rows, "0", "iou_fg@best_val") == pytest.approx(1 / 2)
    # fold 1 validates on b (0.3 against 0.6): d (0.5, 0.8) is all foreground, e (0.2, 0.5) is right
    assert value(rows, "1", "threshold@otsu_val") == pytest.approx(0.45, abs=0.01)
    assert value(rows, "1", "iou_fg@otsu_val") == pytest.approx(2 / 3, abs=1e-6)
    # all: each slide at its own fold's threshold
    assert value(rows, "all", "iou_fg@otsu_val") == pytest.approx(2 / 5, abs=1e-6)
    assert ("all", "threshold@otsu_val") not in rows
    by_slide = {row["slide"]: row for row in slides}
    assert float(by_slide["e"]["iou_fg"]) == 1 and by_slide["e"]["fold"] == "1"
    assert float(by_slide["a2"]["pxap"]) == 100 and by_slide["a1"]["pxap"] == ""


def test_rows_say_how_many_masks_chose_their_threshold(study):
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    rows, _ = evaluate(study)
    used = {key: row["pixel_masks_used"] for key, row in rows.items()}
    assert used["0", "pxap"] == used["0", "miou@otsu_val"] == "0"
    assert used["0", "miou@best_val"] == used["1", "miou@best_val"] == "1"
    assert used["all", "miou@best_val"] == "2"


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


def test_no_more_masks_choose_the_threshold_than_asked_for(study, monkeypatch):
    """Fold 0 validates on d and e, of which one is drawn; both halves of e lie higher."""
    monkeypatch.setitem(outcome.SLIDES, "e", ("E", "tumour", "val", "test"))
    table = (study / "splits.tsv").read_text()
    (study / "splits.tsv").write_text(
        table.replace("0\te\tE\ttumour\ttrain", "0\te\tE\ttumour\tval")
    )
    shift = {"d": 0.1, "e": 0.3}
    probability = lambda slide: 0.2 + shift.get(slide, 0) + 0.3 * outcome.truth(slide)  # noqa: E731
    outcome.write_maps(study, "negev", probability)
    lowest = {slide: 0.201 + shift[slide] for slide in shift}  # that parts its halves
    both, _ = evaluate(study)
    assert both["0", "miou@best_val"]["pixel_masks_used"] == "2"
    rows, _ = evaluate(study, masks=1)
    assert rows["0", "miou@best_val"]["pixel_masks_used"] == "1"
    assert rows["0", "threshold@otsu_val"] == both["0", "threshold@otsu_val"]
    (drawn,) = draw_slides({"d": "tumour", "e": "tumour"}, 1, seed=0)
    assert value(rows, "0", "threshold@best_val") == pytest.approx(lowest[drawn], abs=1e-3)
    assert evaluate(study, masks=2) == evaluate(study)


def test_masks_of_test_slides_never_move_a_threshold(study):
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    before, _ = evaluate(study)
    for name in ("a1", "a2"):
        Image.fromarray(255 - 255 * outcome.truth("d")).save(study / "masks" / f"{name}.png")
    after, _ = evaluate(study)
    for key in (("0", "threshold@best_val"), ("1", "threshold@best_val")):
        assert before[key] == after[key]
    assert before["0", "pxap"]["value"] != after["0", "pxap"]["value"]


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


def test_a_validation_mask_that_does_not_fit_has_no_say_and_stops_nothing(study, caplog):
    """Fold 1 validates on b alone, whose mask has the wrong shape; Otsu needs none."""
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    before, _ = evaluate(study)
    Image.fromarray(np.zeros((90, 20), np.uint8)).save(study / "masks" / "b.png")
    after, _ = evaluate(study)
    assert before["1", "threshold@otsu_val"] == after["1", "threshold@otsu_val"]
    assert ("1", "threshold@best_val") in before and ("1", "threshold@best_val") not in after
    assert after["all", "miou@best_val"]["pixel_masks_used"] == "1"
    assert "b has no say in the threshold best_val: b.png is 20 x 90 px" in caplog.text


def test_negative_validation_slides_alone_give_no_threshold(study, caplog):
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    table = (study / "splits.tsv").read_text()
    (study / "splits.tsv").write_text(table.replace("D\ttumour", "D\tnormal"))
    rows, _ = evaluate(study, negative="normal")
    assert ("0", "threshold@otsu_val") not in rows and ("1", "threshold@otsu_val") in rows
    assert "Fold 0: the validation slides give no threshold otsu_val" in caplog.text


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


def test_validation_maps_are_stitched_with_the_window_of_the_study(study):
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    with pytest.raises(ValueError, match="window is 'triangle'"):
        evaluate(study, window="triangle")
