"""The layers that the page lays over slides: which slides have them, and what they show."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.scripts.page import Page
from workflow.lib.report.colours import OKABE_ITO, probability_colours
from workflow.lib.report.montage import cluster_colours
from workflow.lib.report.pictures import LINE
from workflow.lib.tiles.stores import create_group, write_rows

HALF = np.zeros((400, 400), np.uint8)
HALF[:, :200] = 1


def views(page):
    found = [json.loads(text) for text in page.attributes("data-view")]
    return {view["slide"]: view for view in found}


def pixels(layer):
    """What a browser shows of a layer, RGBA (h, w, 4) int."""
    data = base64.b64decode(layer["source"].removeprefix("data:image/webp;base64,"))
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGBA")).astype(int)


def test_layers_lie_where_they_belong(made_study):
    """A slide of 2 mm on 250 px; its tiles at 500 and 1950 of 2000 px are 62 and 244 of 250."""
    view = views(Page(made_study(mask=HALF).report()))["good"]
    assert (view["height"], view["width"], view["um"]) == (250, 250, 8.0)
    layers = {lay["title"]: lay for lay in view["layers"] if lay["group"] != "polygons"}
    outlines = {lay["title"]: lay for lay in view["layers"] if lay["group"] == "polygons"}
    titles = ["tissue", "clusters (kmeans)", "CAM, unrefined", "NEGEV", "truth"]
    assert [layer["title"] for layer in view["layers"]] == [*titles, *titles[2:4]]
    shown = {title: pixels(layer) for title, layer in layers.items()}
    assert all(found.shape == (250, 250, 4) for found in shown.values())

    tissue = shown["tissue"]
    assert tissue[100, 120].tolist() == [*OKABE_ITO[2], 255] and tissue[100, 130, 3] == 0

    clusters = shown["clusters (kmeans)"]
    colours = cluster_colours(2)
    assert clusters[68, 68].tolist() == [*colours[1], 255]
    assert clusters[68, 247].tolist() == [*colours[0], 255] and clusters[68, 90, 3] == 0
    assert [words for words, _ in layers["clusters (kmeans)"]["legend"]] == ["0", "1"]

    heatmap = shown["NEGEV"]
    np.testing.assert_allclose(heatmap[100, 60, :3], probability_colours(np.array(1.0)), atol=12)
    assert heatmap[100, 60, 3] > 250 and heatmap[100, 190, 3] < 5
    assert layers["NEGEV"]["ramp"] == "tumour"

    truth = shown["truth"]
    assert truth[125, 124].tolist() == [*LINE, 255]  # the right edge of the mask is there
    assert truth[125, 60, 3] == truth[125, 190, 3] == 0

    outline = pixels(outlines["NEGEV"])
    assert outline[125, 125].tolist() == [213, 94, 0, 255]  # at 2000 of 4000 px
    assert outline[125, 60, 3] == outline[125, 190, 3] == 0
    assert outlines["NEGEV"]["legend"] == [["tumour", "#d55e00"]]


def test_raw_cams_are_shown_where_no_heatmap_shows_them(made_study):
    """Two tiles: 0.5 between the lowest and the highest of the slide, and 1; none without cams."""
    study = made_study(methods=("negev",))
    groups = [layer["group"] for layer in views(Page(study.report()))["good"]["layers"]]
    assert "raw cams" not in groups

    def work(slide, folder):
        group = create_group(folder / "cams.zarr", {"classes": ["normal", "tumour"]})
        maps = np.zeros((2, 2, 4, 4), np.float16)
        maps[:, 1] = np.array([3, 4]).reshape(2, 1, 1)
        write_rows(group, "cams", maps)
        return {"class": "tumour", "low": 2.0, "high": 4.0}

    study.visit("cams/cam/fold0", work, [study.root / "tiles"])
    layers = views(Page(study.report()))["good"]["layers"]
    [layer] = [layer for layer in layers if layer["group"] == "raw cams"]
    assert (layer["title"], layer["ramp"]) == ("CAM", "tumour")
    assert [layer["group"] for layer in layers][-2:] == ["raw cams", "polygons"]
    shown = pixels(layer)
    np.testing.assert_allclose(shown[68, 68, :3], probability_colours(np.array(0.5)), atol=20)
    assert shown[68, 68, 3] == pytest.approx(255 * 0.5**0.8, abs=12)
    assert shown[68, 247, 3] > 240 and shown[150, 100, 3] < 5
    whole = views(Page(made_study().report()))["good"]["layers"]
    assert "raw cams" not in [layer["group"] for layer in whole]


def test_a_slide_without_tiles_has_clear_layers(made_study):
    layers = views(Page(made_study().report()))["empty"]["layers"]
    clusters = next(layer for layer in layers if layer["title"].startswith("clusters"))
    assert pixels(clusters)[..., 3].max() == 0


def test_a_mask_that_does_not_fit_is_no_layer(made_study):
    view = views(Page(made_study(mask=np.ones((400, 90), np.uint8)).report()))["good"]
    assert "truth" not in [layer["title"] for layer in view["layers"]]


@pytest.mark.parametrize(
    ("chosen", "first"), [((), "good"), (("plain",), "plain"), (("cut", "empty"), "empty")]
)
def test_those_chosen_come_first_then_those_that_tell_most(made_study, chosen, first):
    """One slide has truth, so that it is the only one that tells; cut is quarantined."""
    page = Page(made_study().report(max_slides=1, chosen=chosen))
    assert list(page.cards()) == list(views(page)) == [first]


def test_layers_end_where_their_size_does_and_the_page_says_so(made_study):
    study = made_study()
    whole = views(Page(study.report()))
    assert sorted(whole) == ["empty", "good", "plain"]
    room = len(json.dumps(whole["good"])) / 1e6
    study.config["write_report"]["layers_mb"] = room
    for layers_mb, wanted in ((room, ["good"]), (room - 1e-6, []), (0, [])):
        page = Page(study.report(layers_mb=layers_mb))
        assert list(views(page)) == wanted
        cards = page.cards()
        assert sorted(cards) == ["empty", "good", "plain"]
        said = {name for name, card in cards.items() if "make view STUDY=flat" in card}
        assert said == set(cards) - set(wanted)
