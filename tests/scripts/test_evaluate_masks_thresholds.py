"""Thresholds of evaluate_masks: which slides choose them, and how many masks that takes."""

import shutil

import numpy as np
import pytest
from PIL import Image

from tests.scripts import outcome
from tests.scripts.evaluated import evaluate, value
from workflow.lib.jobs.tables import read_table
from workflow.lib.refine.drawn_slides import draw_slides


@pytest.fixture
def study(predicted, tmp_path):
    return shutil.copytree(predicted, tmp_path / "study")


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


def test_the_slides_that_chose_a_threshold_are_written_beside_it(study):
    """Fold 0 validates on d alone, fold 1 on b; both have masks, e is in neither."""
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    rows, _ = evaluate(study)
    chosen = read_table(study / "thresholds.tsv")
    assert [(row["fold"], row["rule"], row["chosen_on"]) for row in chosen] == [
        ("0", "otsu_val", "d"),
        ("0", "best_val", "d"),
        ("1", "otsu_val", "b"),
        ("1", "best_val", "b"),
    ]
    for row in chosen:
        assert row["threshold"] == rows[row["fold"], f"threshold@{row['rule']}"]["value"]


def test_masks_of_test_slides_never_move_a_threshold(study):
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    before, _ = evaluate(study)
    for name in ("a1", "a2"):
        Image.fromarray(255 - 255 * outcome.truth("d")).save(study / "masks" / f"{name}.png")
    after, _ = evaluate(study)
    for key in (("0", "threshold@best_val"), ("1", "threshold@best_val")):
        assert before[key] == after[key]
    assert before["0", "pxap"]["value"] != after["0", "pxap"]["value"]


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


def test_validation_maps_are_stitched_with_the_window_of_the_study(study):
    outcome.write_maps(study, "negev", lambda slide: 0.2 + 0.6 * outcome.truth(slide))
    with pytest.raises(ValueError, match="window is 'triangle'"):
        evaluate(study, window="triangle")
