"""The numbers and tables of the report, from rows of metrics."""

import pytest

from workflow.lib.jobs.names import METHODS, SUPERVISED
from workflow.lib.jobs.tables import METRICS
from workflow.lib.report.summary import (
    Cohort,
    cluster_table,
    confusion_counts,
    five_numbers,
    interval_of,
    label_table,
    name_methods,
    threshold_table,
    value_of,
    with_interval,
)

CONFIG = {
    "labels": {"level": "image", "classes": ["normal", "tumour"]},
    "make_cams": {"methods": ["cam"]},
    "tile_slide": {"tile_px": 128, "mpp": 0.5},
}
COHORT = Cohort(
    slides=12, patients=5, folds=3, used=10, tiles=12345, tissue_mm2=67.89, clusters=8, shared=6
)


def row(metric, value, *, fold="all", level="image", method="classifier (mean)", masks=0, ci=True):
    value = str(value)
    low, high = ("0.1", "0.9") if ci and value else ("", "")
    cells = (fold, "test", level, method, metric, value, low, high, "10", str(masks))
    return dict(zip(METRICS, cells, strict=True))


def pixel(metric, value, method, **changes):
    return row(metric, value, level="pixel", method=method, **changes)


def test_numbers_are_written_as_people_write_them():
    assert value_of(row("auroc", 0.98765)) == "0.99"
    assert value_of(row("ari", -0.0012)) == "0.00"  # and not -0.00
    assert interval_of(row("auroc", 0.5)) == "[0.10, 0.90]"
    assert with_interval(row("nmi", 0.5, ci=False)) == "0.50"
    assert with_interval(row("auroc", "")) == with_interval(None) == "not defined"


def test_methods_are_named_and_the_bare_cam_comes_first():
    assert list(name_methods(["zeta", "negev", "alpha", "none", "negev"]).items()) == [
        ("none", "CAM, unrefined"),
        ("negev", "NEGEV"),
        ("alpha", "alpha"),
        ("zeta", "zeta"),
    ]


def test_cams_that_are_compared_stand_between_the_bare_one_and_its_decoders():
    found = name_methods(["negev", "layercam", "none", "cam"], "gradcam")
    assert list(found.items()) == [
        ("none", "Grad-CAM, unrefined"),
        ("cam", "CAM"),
        ("layercam", "LayerCAM"),
        ("negev", "NEGEV"),
    ]


def titles(numbers):
    return [number["title"] for number in numbers]


def test_five_numbers_of_a_study_with_labels_and_masks():
    metrics = [
        row("accuracy", 0.75),
        row("auroc", 0.91),
        row("auroc", 0.5, fold="0"),
        row("auroc", 0.6, level="tile"),
        pixel("pxap", 80, "negev"),
        pixel("pxap", 70, "none"),
        pixel("pxap_chance", 25, "none"),
        pixel("pxap_chance", 25, "negev"),
    ]
    numbers = five_numbers(metrics, COHORT, CONFIG)
    assert numbers[:3] == [
        {"value": "10 of 12", "interval": "", "title": "slides used", "note": "2 quarantined"},
        {
            "value": "12,345",
            "interval": "",
            "title": "tiles",
            "note": "128 px at 0.5 µm per pixel",
        },
        {
            "value": "0.91",
            "interval": "[0.10, 0.90]",
            "title": "AUROC",
            "note": "labels of 10 slides, out of fold",
        },
    ]
    assert titles(numbers[3:]) == ["PxAP of CAM, unrefined", "PxAP of NEGEV"]
    other = CONFIG | {"make_cams": {"methods": ["layercam", "cam"]}}
    numbers = five_numbers([*metrics, pixel("pxap", 90, "cam")], COHORT, other)
    assert titles(numbers[3:]) == ["PxAP of LayerCAM, unrefined", "PxAP of NEGEV"]
    assert [number["value"] for number in numbers[3:]] == ["70.0", "80.0"]
    assert numbers[3]["note"] == "of 100, pixels of 10 slides; chance is 25.0"


def test_a_pixel_supervised_method_is_never_the_number_of_the_study():
    metrics = [pixel("pxap", 99, "unet", masks=40), pixel("pxap", 70, "none")]
    assert all("(pixel-supervised)" in METHODS[method] for method in SUPERVISED)
    assert titles(five_numbers(metrics[:1], COHORT, CONFIG))[2] == "tissue"
    assert titles(five_numbers(metrics, COHORT, CONFIG))[2:4] == [
        "PxAP of CAM, unrefined",
        "tissue",
    ]
    metrics += [pixel("pxap", 80, "negev"), pixel("pxap", 90, "points", masks=2)]
    numbers = five_numbers(metrics, COHORT, CONFIG)
    assert titles(numbers)[2:4] == ["PxAP of CAM, unrefined", "PxAP of NEGEV"]
    named = [found["method"] for found in threshold_table(metrics, name_methods(["unet", "negev"]))]
    assert named == ["NEGEV", "U-Net (pixel-supervised)"]  # in the table it stands, and says so


LABELS = [row("auroc", 0.91), row("average_precision", 0.8), row("accuracy", 0.7)]


@pytest.mark.parametrize(
    "metrics, rest",
    [
        (LABELS, ["AUROC", "average precision", "accuracy"]),
        ([*LABELS, pixel("pxap", 70, "none")], ["AUROC", "PxAP of CAM, unrefined"]),
        ([row("auroc", ""), row("accuracy", 0.5)], ["accuracy", "tissue", "clusters"]),
        ([], ["tissue", "clusters", "clusters of several patients"]),
    ],
)
def test_what_was_not_measured_gives_way_to_what_there_is(metrics, rest):
    numbers = five_numbers(metrics, COHORT, CONFIG)
    assert len(numbers) == 5
    assert titles(numbers)[2 : 2 + len(rest)] == rest


def test_methods_have_a_row_and_each_way_to_a_threshold_its_masks():
    metrics = [
        pixel("dice_bg@best_val", 0.9, "none") | {"n": "3"},
        pixel("pxap", 70.04, "none"),
        pixel("pxap_chance", 25, "none"),
        pixel("truth_uncovered", 0.03, "none"),
        pixel("threshold@otsu_val", 0.57, "none", fold="0"),
        pixel("threshold@otsu_val", 0.52, "none", fold="1"),
        pixel("dice_fg@otsu_val", 0.6, "none"),
        pixel("iou_fg@otsu_val", 0.45, "none"),
        pixel("miou@otsu_val", "", "none"),
        pixel("dice_fg@best_val", 0.7, "none", masks=4) | {"n": "3"},
        pixel("dice_fg@otsu_val", 0.99, "none", fold="0"),
    ]
    (found,) = threshold_table(metrics, name_methods(["none", "negev"]))
    assert (found["method"], found["uncovered"]) == ("CAM, unrefined", "0.03 [0.10, 0.90]")
    otsu, best = found["rules"]
    assert otsu["rule"] == "Otsu's"
    assert otsu["thresholds"] == "0.52, 0.57"
    assert otsu["n"] == "10" and best["n"] == "3"
    assert otsu["masks"] == "0" and best["masks"] == "4"
    cells = {"Dice": "0.60 [0.10, 0.90]", "IoU": "0.45 [0.10, 0.90]", "mean IoU": "not defined"}
    assert otsu["cells"] == cells
    assert best["cells"]["Dice"] == "0.70 [0.10, 0.90]"
    assert best["cells"]["IoU"] == "not defined"


def test_a_method_without_a_threshold_keeps_its_row():
    (found,) = threshold_table([pixel("pxap", 70, "none")], name_methods(["none"]))
    assert [rule["rule"] for rule in found["rules"]] == ["none could be chosen"]
    assert set(found["rules"][0]["cells"].values()) == {"not defined"}


def test_labels_by_level_and_fold_in_their_order():
    folds = ("all", "10", "2", "0")
    metrics = [
        row("auroc", 0.5, fold=fold, level=level) for fold in folds for level in ("tile", "image")
    ]
    metrics += [
        row("nmi", 0.5, method="dcec", level="tile"),
        row("nmi_site", 0.25, method="dcec", level="tile"),
        row("nmi", 0.75, method="kmeans", level="tile"),
        row("confusion[true=a,predicted=b]", 1),
    ]
    found = label_table(metrics)
    names = ["fold 0", "fold 2", "fold 10", "all folds"]
    assert [(one["level"], one["fold"]) for one in found] == [
        (level, fold) for level in ("image", "tile") for fold in names
    ]
    assert found[0]["n"] == "10"
    assert found[0]["cells"] == {
        "AUROC": "0.50 [0.10, 0.90]",
        "average precision": "not defined",
        "accuracy": "not defined",
        "balanced accuracy": "not defined",
    }
    (clusters,) = cluster_table(metrics, "dcec")
    assert clusters["cells"] == {
        "NMI": "0.50 [0.10, 0.90]",
        "NMI with sites": "0.25 [0.10, 0.90]",  # and no column for what was not measured
    }
    assert cluster_table(metrics, "deepcluster") == []


def test_slides_scored_as_bags_follow_the_classifier():
    bags = [row("auroc", 0.9, method="abmil", level="slide", fold=fold) for fold in ("all", "0")]
    found = label_table([*bags, row("auroc", 0.75, level="slide")])
    assert [(one["level"], one["fold"], one["cells"]["AUROC"][:4]) for one in found] == [
        ("slide", "all folds", "0.75"),
        ("slide, by attention", "fold 0", "0.90"),
        ("slide, by attention", "all folds", "0.90"),
    ]
    (top,) = label_table([row("auroc", 0.9, method="top_k", level="slide")])
    assert top["level"] == "slide, by its top tiles"
    config = CONFIG | {"labels": CONFIG["labels"] | {"level": "slide"}}
    numbers = five_numbers([*bags, row("auroc", 0.75, level="slide")], COHORT, config)
    assert numbers[2]["value"] == "0.75"


def test_a_probe_is_not_taken_for_the_classifier():
    probe = row("auroc", 0.99, method="probe dcec conv1")
    numbers = five_numbers([probe, row("auroc", 0.75)], COHORT, CONFIG)
    assert numbers[2]["value"] == "0.75"
    assert "AUROC" not in titles(five_numbers([probe], COHORT, CONFIG))


def test_confusion_has_true_classes_in_rows():
    classes = ["a", "b"]
    counts = {("a", "a"): 5, ("a", "b"): 1, ("b", "a"): 2, ("b", "b"): 7}
    metrics = [row(f"confusion[true={t},predicted={p}]", n) for (t, p), n in counts.items()]
    metrics += [row("confusion[true=a,predicted=a]", 99, level="tile")]
    metrics += [row("confusion[true=a,predicted=a]", 98, method="abmil")]
    assert confusion_counts(metrics, "image", classes) == [[5, 1], [2, 7]]
    assert confusion_counts([], "image", classes) == confusion_counts(metrics, "image", []) == []
