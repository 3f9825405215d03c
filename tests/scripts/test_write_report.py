"""The page of a finished study: what it shows, that nothing in it runs, that it is reproducible."""

import base64
import hashlib
import json
import re

import numpy as np
import pytest

from tests.scripts.page import Page, decode
from workflow.lib.jobs.verdicts import REMEDIES

EVIL = '</script><script>alert(1)</script><img src=x onerror="alert(2)">'
TAGS = {"html", "head", "meta", "title", "style", "body", "header", "main", "section", "nav", "div"}
TAGS |= {
    "thead",
    "tbody",
    "h1",
    "h2",
    "h3",
    "p",
    "a",
    "b",
    "span",
    "table",
    "tr",
    "th",
    "td",
    "img",
    "figure",
}
TAGS |= {
    "figcaption",
    "details",
    "summary",
    "code",
    "pre",
    "button",
    "dialog",
    "kbd",
    "i",
    "script",
}
ATTRIBUTES = {
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "href",
    "id",
    "rowspan",
    "colspan",
}
ATTRIBUTES |= {"alt", "src", "open", "title", "aria-label", "aria-labelledby", "role", "tabindex"}
ATTRIBUTES |= {"hidden", "data-view", "loading"}


def test_five_numbers_with_their_intervals(report_page):
    assert report_page.numbers() == [
        "3 of 4 slides used 1 quarantined",
        "4 tiles 100 px at 1 µm per pixel",
        "0.88 [0.50, 1.00] AUROC labels of 2 slides, out of fold",
        "81.2 [70.0, 90.0] PxAP of CAM, unrefined of 100, pixels of 2 slides; chance is 50.0",
        "81.2 [70.0, 90.0] PxAP of NEGEV of 100, pixels of 2 slides; chance is 50.0",
    ]


def test_a_card_says_and_shows_what_is_known_of_a_slide(report_page):
    card = Page(report_page.cards()["good"])
    words = card.words()
    for said in (
        "patient p1",
        "label tumour",
        "predicted tumour, score 0.62",
        "tested in fold 0",
        "2 tiles",
        "2 × 2 mm, 0.5 µm per pixel",
        "pixel truth: 0.50 mm² marked",
        "CAM, unrefined: Dice 0.75, PxAP 81, 0.25 mm² marked",
        "NEGEV: Dice 0.75, PxAP 81, 0.25 mm² marked",
    ):
        assert said in words
    assert "wrong" not in words
    alts = card.attributes("alt")
    titles = ["slide", "pixel truth: 0.50 mm² marked", "CAM, unrefined", "NEGEV", "clusters"]
    assert alts == [f"{title} of good" for title in titles]


def test_a_wrong_prediction_is_said_in_words(report_page):
    assert "wrong: predicted tumour" in Page(report_page.cards()["plain"]).words()


def test_a_slide_without_tissue_is_a_card_that_says_so(report_page):
    words = Page(report_page.cards()["empty"]).words()
    assert "0 tiles" in words
    assert "No tissue was found" in words
    assert "Dice" not in words and "predicted" not in words


def test_a_slide_quarantined_on_the_way_is_listed_with_its_remedy(report_page):
    assert "cut" not in report_page.cards()
    assert f"cut E_TILE A sentence. {REMEDIES['E_TILE']}" in report_page.words()


def test_what_was_pooled_is_said(report_page):
    words = report_page.words()
    assert "The pixels under tiles of all test slides with truth are pooled" in words
    assert "Slides of the class normal without a mask count as background throughout." in words
    assert "AUROC and average precision are those of tumour." in words
    assert "the mean of the probabilities of the tenth of its tiles that looks least like" in words


@pytest.mark.parametrize(
    ("pooling", "negative", "said"),
    [
        ("mean", None, "the mean of the probabilities of its tiles"),
        ("max", "normal", "the probabilities of the one tile that looks least like normal"),
        ("max", None, "the largest of its probabilities in the tiles of the slide, scaled"),
        ("top_k", None, "in the tenth of the tiles where they are highest (top k), scaled"),
    ],
)
def test_how_scores_are_pooled_is_said(made_study, pooling, negative, said):
    study = made_study()
    study.config["classify_tiles"]["pooling"] = pooling
    study.config["labels"]["negative"] = negative
    assert said in Page(study.report()).words()


def test_charts_montages_and_training_are_there(report_page):
    alts = report_page.attributes("alt")
    for title in (
        "Precision and recall of pixels, all folds",
        "ROC of tumour, all folds",
        "Precision and recall of tumour, all folds",
        "Confusion of slides, all folds",
        "Fold 0: typical tiles, and tiles drawn at random",
        "Fold 0: nearest neighbours in features and in pixels",
        "Classifier, fold 0: AUROC 0.75 on validation tiles",
        "NEGEV, fold 0: AUROC 0.75 on validation tiles",
    ):
        assert title in alts
    assert "Classifier: the second; 0 pixel masks used; computed in fp32." in report_page.words()
    assert "On the same kind of CPU the same settings" in report_page.words()


def test_the_audit_is_shown(report_page):
    assert "twins note 3 No two alike. A sentence." in report_page.words()


def test_what_speaks_against_the_evidence_is_shown(report_page):
    said = "0 3 12.5% not defined not defined not defined 0.25 not defined"
    assert said in report_page.words()
    assert "1 0 not defined" in report_page.words()
    assert "Slides count alike, but what is outside the tissue is of" in report_page.words()
    assert report_page.words().count("A sentence.") == 3  # quarantined, audited, warned of


def test_what_was_run_and_what_it_was_made_with(report_page):
    words = report_page.words()
    assert "tile_slide 1 12.2 2.0 345 1 here" in words
    assert "random seed 7 numpy 2.0" in words
    nobody = "none needed: no weights of others"
    assert f"Encoder net9 random {nobody} not trained here" in words
    trained = hashlib.sha256(b"weights").hexdigest()
    assert f"Classifier, fold 0 random {nobody} {trained}" in words
    assert f"NEGEV, fold 0 its classifier as its classifier {trained}" in words
    assert "pooling: top_k" in words


def test_the_slide_is_as_sharp_as_its_tiles_and_the_truth_is_outlined(report_page):
    """The tile at 500 to 600 of 2000 px is red at 62 to 75 of 250, as its thumbnail is not."""
    slide, truth = (
        decode(source) for source in Page(report_page.cards()["good"]).attributes("src")[:2]
    )
    assert slide.shape == truth.shape == (250, 250, 3)
    np.testing.assert_allclose(slide[68, 68], (200, 0, 100), atol=12)
    np.testing.assert_allclose(slide[30, 30], (240, 240, 240), atol=6)
    assert truth[125, 62, 0] < 150  # blue, on the left edge of the mask
    np.testing.assert_allclose(truth[125, 200], (240, 240, 240), atol=6)


def test_no_words_of_people_become_markup(made_study):
    study = made_study(
        classes=(f"normal {EVIL}", f'"tumour" {EVIL}'),
        slide='x"><svg onload=alert(3)>',
        patient=EVIL,
        sentence=f"{{{{ 7 * 7 }}}} {EVIL}",
        warning=EVIL,
    )
    page = Page(study.report())
    assert {tag for tag, _ in page.tags} <= TAGS
    assert {name for _, found in page.tags for name in found} <= ATTRIBUTES
    assert page.open == page.strays == []
    assert [tag for tag, _ in page.tags].count("script") == 1
    views = [json.loads(found) for found in page.attributes("data-view")]
    assert 'x"><svg onload=alert(3)>' in [view["slide"] for view in views]
    words = page.words()
    assert f"patient {EVIL}" in words
    assert f'label "tumour" {EVIL}' in words
    assert f"{{{{ 7 * 7 }}}} {EVIL}" in words
    assert f"No two alike. {{{{ 7 * 7 }}}} {EVIL}" in words
    assert 'x"><svg onload=alert(3)>' in words
    for source in page.attributes("src"):
        if source.startswith("data:image/svg"):
            drawn = base64.b64decode(source.split(",")[1]).decode().lower()
            assert "<script" not in drawn and "<img" not in drawn


def test_the_page_needs_nothing_and_runs_nothing_but_its_own_script(report_page):
    assert report_page.source.startswith("<!doctype html>")
    assert {tag for tag, _ in report_page.tags} <= TAGS
    assert {name for _, found in report_page.tags for name in found} <= ATTRIBUTES
    assert all(source.startswith("data:image/") for source in report_page.attributes("src"))
    ids = report_page.attributes("id")
    assert len(set(ids)) == len(ids)
    assert {href[1:] for href in report_page.attributes("href")} <= set(ids)
    policy = next(found["content"] for _, found in report_page.tags if "http-equiv" in found)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    [script] = re.findall("<script>(.*?)</script>", report_page.source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"; script-src 'sha256-{digest}'; " in policy
    assert "unsafe" not in policy and "://" not in script
