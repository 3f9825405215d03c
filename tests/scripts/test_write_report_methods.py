"""The section of the page on methods: one table, and the slides that each is best and worst on."""

import numpy as np

from tests.scripts.page import Page, decode
from workflow.lib.jobs.tables import read_table


def test_methods_are_compared_with_the_masks_that_they_used(report_page):
    words = report_page.words()
    costs = "0.88 [0.50, 1.00] 0 not measured"
    assert f"CAM, unrefined 2 81.2 [70.0, 90.0] 0.75 [0.50, 0.90] not defined {costs}" in words
    assert "CAM, unrefined not defined Otsu's 2 0 0.75 [0.50, 0.90] not defined" in words
    assert "best mean IoU 2 6 0.80 not defined not defined" in words
    assert words.index("CAM, unrefined 2") < words.index("NEGEV 2")
    assert "by chance it is the share of foreground, here 50.0." in words


def test_examples_are_shown_by_all_methods_and_enlarge(report_page):
    words = report_page.words()
    assert "CAM, unrefined, and the others on the same slides only : good pixel truth" in words
    assert "NEGEV only : good pixel truth: 0.50 mm² marked NEGEV: Dice 0.75, PxAP 81" in words
    section = report_page.source.split('id="examples"')[1].split('id="labels"')[0]
    pictures = [decode(source) for source in Page(section).attributes("src")]
    assert len(pictures) == 3 + 2  # truth and two methods; truth and NEGEV
    heatmap = pictures[1]
    assert heatmap.shape == (500, 500, 3)
    assert heatmap[30, 100, 1] - heatmap[30, 100, 2] > 60  # yellow: sure
    np.testing.assert_allclose(heatmap[30, 400], (240, 240, 240), atol=6)
    assert heatmap[30, 247:253].min() < 100  # the black line between them
    assert {f"#example-{n}" for n in ("1-1-1", "1-1-3", "2-1-2")} <= set(
        report_page.attributes("href")
    )


def test_what_was_measured_is_a_table_too(made_study):
    study = made_study(methods=("none", "negev"))
    study.log("make_cams", "cam.fold0.all", unit_seconds={"good": 0.5, "plain": 0.75})
    study.log("refine_masks", "none.fold0.all", unit_seconds={"good": 0.25, "plain": 0.25})
    study.log("stitch_heatmap", "none.all", unit_seconds={"good": 0.25})
    words = Page(study.report()).words()
    assert "the median of 1 image, without" in words
    rows = read_table(study.root / "evaluation" / "methods.tsv")
    found = [(r["method"], r["pxap_low"], r["seconds_per_image"], r["images_timed"]) for r in rows]
    assert found == [("none", "70", "1", "1"), ("negev", "70", "", "0")]
    assert "0.88 [0.50, 1.00] 0 1.0" in words and "0 not measured" in words


def test_what_glands_rest_on_is_said(made_study):
    page = Page(made_study(cams=("glands", "cam"), methods=("none", "crf")).report())
    words, said = page.words(), "know where things are from what a gland looks like"
    assert said in words and "Glands by stain and shape, CRF 2 81.2" in words
    assert said not in Page(made_study(methods=("none",)).report()).words()


def test_further_cams_are_methods_of_their_own(made_study):
    page = Page(made_study(cams=("gradcam", "cam", "layercam")).report())
    words = page.words()
    rows = ["Grad-CAM, unrefined", "CAM", "LayerCAM", "NEGEV"]
    assert "CAM, unrefined" not in words.replace("Grad-CAM, unrefined", "")
    places = [words.index(f"{name} 2 81.2 [70.0, 90.0]") for name in rows]
    assert places == sorted(places)
    for name in rows:
        assert f"{name}: " in Page(page.cards()["good"]).words()
