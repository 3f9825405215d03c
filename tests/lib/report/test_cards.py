"""What a card says of a slide."""

import pytest

from workflow.lib.cohort.sheet import Slide
from workflow.lib.report.cards import BARE, make_card, make_row

CHECKED = {"width_px0": "4000", "height_px0": "3000", "mpp": "0.25", "warnings": ""}
SCORED = {"predicted": "tumour", "score[normal]": "0.2", "score[tumour]": "0.8"}
MASKED = {"dice_fg": "0.756", "pxap": "81.3", "foreground": "0.5", "note": ""}


def card(**changes):
    slide = Slide("s1", None, "p1", changes.pop("label", "tumour"))
    given = {"tiles": 3, "fold": "1", "scored": SCORED, "masked": {}, "heatmaps": {}}
    return make_card(slide, CHECKED | changes.pop("checked", {}), **(given | changes))


def test_facts_of_a_slide():
    found = card()
    assert (found["slide"], found["patient"], found["label"]) == ("s1", "p1", "tumour")
    assert (found["predicted"], found["score"], found["wrong"]) == ("tumour", "0.80", False)
    assert found["size"] == "1 × 0.75 mm, 0.25 µm per pixel"
    assert (found["tiles"], found["fold"], found["remarks"]) == (3, "1", [])


def test_a_prediction_that_is_not_the_label_is_wrong():
    assert card(label="normal")["wrong"]


@pytest.mark.parametrize("scored", [None, {"predicted": "", "score[tumour]": ""}])
def test_without_a_prediction_nothing_is_wrong(scored):
    found = card(scored=scored)
    assert (found["predicted"], found["score"], found["wrong"]) == (None, "", False)


@pytest.mark.parametrize(
    "row, said",
    [
        (MASKED, "Dice 0.76, PxAP 81, 0.12 mm² marked"),
        (MASKED | {"foreground": "0", "dice_fg": "0", "pxap": ""}, "0.12 mm² marked"),
        (MASKED | {"foreground": "", "dice_fg": "", "pxap": ""}, "0.12 mm² marked"),
        (None, "0.12 mm² marked"),
    ],
)
def test_dice_is_given_where_the_truth_marks_something(row, said):
    """On a slide whose truth is empty Dice is 0 for a single false pixel: the area says more."""
    masked = {"NEGEV": row} if row else {}
    assert card(masked=masked, heatmaps={"NEGEV": {"marked_um2": 123_000}})["methods"] == {
        "NEGEV": said
    }


def test_remarks_are_made_once_each():
    masked = {name: MASKED | {"note": "the mask does not fit"} for name in ("CAM", "NEGEV")}
    heatmaps = {name: {"marked_um2": 0} for name in masked}
    found = card(tiles=0, checked={"warnings": "Odd."}, masked=masked, heatmaps=heatmaps)
    assert found["remarks"] == ["Odd.", BARE, "the mask does not fit"]
    assert found["methods"] == {}


def test_a_row_has_numbers_and_a_verdict_in_words():
    """Dice only where the truth marks something; the area where there is a heatmap."""
    masked = {"CAM": MASKED, "NEGEV": MASKED | {"foreground": "0", "dice_fg": "0"}}
    heatmaps = {name: {"marked_um2": 123_000} for name in masked}
    slide = Slide("s1", None, "p1", "tumour")
    row = make_row(slide, "ok", card(masked=masked, heatmaps=heatmaps))
    assert (row["slide"], row["patient"], row["label"]) == ("s1", "p1", "tumour")
    assert (row["predicted"], row["score"], row["wrong"]) == ("tumour", "0.80", False)
    assert (row["verdict"], row["used"], row["tiles"]) == ("ok", True, 3)
    assert row["dice"] == {"CAM": "0.76"}
    assert row["marked_mm2"] == {"CAM": "0.12", "NEGEV": "0.12"}


@pytest.mark.parametrize(
    ("verdict", "warned", "words"),
    [
        ("ok", "", "ok"),
        ("ok", "Odd.", "ok, with remarks"),
        ("ok_empty", "", "ok, no tissue"),
        ("E_MPP", None, "E_MPP"),
    ],
)
def test_a_row_says_what_was_found_of_a_slide(verdict, warned, words):
    """One that is quarantined has no card, and nothing but who it is and why."""
    made = None if warned is None else card(checked={"warnings": warned})
    row = make_row(Slide("s1", None, "p1", "tumour"), verdict, made)
    assert (row["verdict"], row["used"]) == (words, made is not None)
    if made is None:
        assert (row["label"], row["predicted"], row["score"], row["tiles"]) == (
            "tumour",
            "",
            "",
            "",
        )
        assert row["dice"] == row["marked_mm2"] == {}
