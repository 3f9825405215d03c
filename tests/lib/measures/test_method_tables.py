"""Methods side by side: which number stands in which cell, and in which order rows stand."""

from tests.lib.compared import CAMS, NAMES, classified, compare, pixels, row
from workflow.lib.jobs.names import PERMUTED
from workflow.lib.measures.method_tables import (
    COLUMNS,
    chance_text,
    compare_methods,
    estimate_text,
)
from workflow.lib.measures.timings import Cost


def test_a_row_has_the_numbers_of_all_folds_at_otsus_threshold():
    cost = Cost(seconds=1.5, images=4, training=1800.0, devices=("cpu", "cuda"))
    (found,) = compare(pixels("negev", 70.0), costs={"negev": cost})
    assert tuple(found) == COLUMNS
    assert found == {
        "method": "negev", "name": "NEGEV", "learns_from": "labels", "slides": 10,
        "pixel_masks_used": 0, "pxap_chance": 40.0,
        "pxap": 70.0, "pxap_low": 69.0, "pxap_high": 71.0,
        "dice": 0.5, "dice_low": -0.5, "dice_high": 1.5,
        "miou": 0.25, "miou_low": -0.75, "miou_high": 1.25,
        "auroc": 0.5, "auroc_low": -0.5, "auroc_high": 1.5,
        "seconds_per_image": 1.5, "images_timed": 4, "training_hours": 0.5,
        "devices": "cpu, cuda",
    }  # fmt: skip


def test_the_best_of_labels_comes_first_and_who_was_shown_where_last():
    rows = compare(
        pixels("none", 60.0),
        pixels("unet", 90.0, masks=5),
        pixels("negev", 70.0),
        pixels("svm", 50.0, masks=5),
        pixels("points", 95.0, masks=2),
    )
    assert [row["method"] for row in rows] == ["negev", "none", "points", "unet", "svm"]
    taught = [row["learns_from"] for row in rows]
    assert taught == ["labels", "labels", "points", "pixel masks", "pixel masks"]
    assert [row["pixel_masks_used"] for row in rows] == [0, 0, 2, 5, 5]
    assert [row["auroc"] for row in rows] == [
        0.5,
        0.5,
        0.5,
        0.5,
        None,
    ]  # the last has nothing of it


def test_what_builds_on_glands_knows_their_place_from_stain_and_shape():
    pixel = [pixels(method, 50.0) for method in ("none", "negev", "unet")]
    rows = compare(*pixel, cams=CAMS | dict.fromkeys(("none", "negev", "unet"), "glands"))
    told = {row["method"]: row["learns_from"] for row in rows}
    assert told == {"none": "stain and shape", "negev": "stain and shape", "unet": "pixel masks"}
    assert rows[-1]["method"] == "unet"


def test_what_was_not_measured_stays_empty():
    rows = compare_methods([row("pxap", 50.0, "none", ci=False)], NAMES, {}, cams=CAMS)
    (found,) = rows
    missing = ("pxap_low", "dice", "miou_high", "auroc", "pxap_chance", "seconds_per_image")
    assert [found[name] for name in missing] == [None] * 6
    assert (found["images_timed"], found["devices"], found["training_hours"]) == (0, "", None)
    assert chance_text(rows) == "not defined"
    assert compare_methods(classified(), NAMES, {}, cams=CAMS) == []


def test_permuted_labels_stay_with_the_name():
    rows = [one | {"method": one["method"] + PERMUTED} for one in pixels("none", 50.0)]
    auroc = [one | {"method": one["method"] + PERMUTED} for one in classified()]
    (found,) = compare_methods([*rows, *auroc], NAMES, {}, cams=CAMS)
    assert (found["name"], found["auroc"]) == ("CAM, unrefined, permuted labels", 0.5)


def test_chance_is_told_once_or_from_which_to_which():
    assert chance_text(compare(pixels("none", 1.0), pixels("negev", 1.0))) == "40.0"
    rows = compare(pixels("none", 1.0, chance=42.0), pixels("negev", 1.0, chance=41.0))
    assert chance_text(rows) == "41.0 to 42.0"


def test_numbers_are_written_as_people_write_them():
    (found,) = compare(pixels("none", 70.04))
    assert estimate_text(found, "pxap") == "70.0 [69.0, 71.0]"
    assert estimate_text(found | {"dice": None}, "dice") == "not defined"
