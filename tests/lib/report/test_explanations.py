"""The page of explained tiles: what the colours mean, and what stands where."""

import numpy as np
import pytest

from tests.configs import schema
from workflow.lib.evidence.attributions import Attributions
from workflow.lib.report.explanations import (
    AGAINST,
    FOR,
    OPACITY,
    SIDE,
    WORDS,
    Explained,
    colour_gradients,
    colour_maps,
    colour_occlusion,
    colour_saliency,
    draw_explanations,
)
from workflow.lib.report.montage import GAP, LINE, MARGIN

LEFT, TOP = 2 * MARGIN + WORDS, MARGIN + 5 * LINE
ABOUT = {"title": "A title", "note": "No tile is called so.", "cam": "CAM", "side_um": 128.0}


def test_saliency_is_white_where_it_is_strongest_whatever_its_unit():
    values = np.linspace(0, 3e-7, 101).reshape(101, 1)
    grey = colour_saliency(values)
    assert grey.shape == (101, 1, 3) and grey[0].max() == 0
    assert grey[50].tolist() == [[129] * 3]  # 50 of 99 percent
    assert (grey[99:] == 255).all() and not (grey[98] == 255).any()
    assert not colour_saliency(np.zeros((2, 2))).any()


def test_one_strong_pixel_among_zeros_is_seen():
    values = np.zeros((30, 30))
    values[3, 4] = 7
    assert colour_saliency(values)[3, 4].tolist() == [255] * 3


def test_gradients_are_grey_at_0_and_keep_their_sign():
    found = colour_gradients(np.array([[[0.0, 2.0]], [[0.0, -2.0]], [[0.0, 1.0]]]))
    assert found[0, 0].tolist() == [128] * 3
    assert found[0, 1].tolist() == [255, 0, 191]


def test_occlusion_is_orange_where_the_score_falls_and_blue_where_it_rises():
    tile = np.full((1, 3, 3), 100, np.uint8)
    found = colour_occlusion(tile, np.array([[0.4, -0.2, 0.0]]))
    strong, weak = (
        100 + OPACITY * share * (np.array(colour) - 100)
        for colour, share in ((FOR, 1), (AGAINST, 0.5))
    )
    np.testing.assert_array_equal(found[0], np.rint([strong, weak, [100] * 3]))
    assert (colour_occlusion(tile, np.zeros((1, 3))) == 100).all()


def flat(grey):
    return np.full((8, 8, 3), grey, np.uint8)


def test_pictures_stand_in_their_column_and_row():
    first = [flat(grey) for grey in (10, 20, 30, 40, 50)]
    rows = [Explained(["one"], first), Explained([], [flat(60)] * 5)]
    page = draw_explanations(rows, **ABOUT)
    assert page.shape[1] <= 1340  # what the report shows without shrinking it
    for column, grey in enumerate((10, 20, 30, 40, 50)):
        x = LEFT + column * (SIDE + GAP)
        assert (page[TOP : TOP + SIDE // 2, x : x + SIDE] == grey).all()
    y = TOP + SIDE + GAP
    assert (page[y : y + SIDE // 2, LEFT : LEFT + SIDE] == 60).all()


def test_the_longest_page_is_one_that_a_browser_shows():
    asked = schema()["properties"]["explain_tiles"]["properties"]
    rows = asked["most_certain"]["maximum"] + asked["least_certain"]["maximum"]
    rows += asked["named"]["maxItems"]
    assert TOP + rows * (SIDE + GAP) + MARGIN <= 16383  # px; the limit of WebP


def test_the_bar_is_a_quarter_of_the_tile():
    page = draw_explanations([Explained([], [flat(200)] * 5)], **ABOUT)
    row = page[TOP + SIDE - 9, LEFT : LEFT + SIDE].min(axis=1)
    assert (row < 100).sum() == SIDE // 4


def test_a_network_without_a_relu_has_a_dash_in_that_column():
    found = Attributions(np.zeros((8, 8)), None, np.zeros((8, 8)))
    pictures = colour_maps(flat(77), np.zeros((8, 8)), found)
    assert [picture is None for picture in pictures] == [False, False, False, True, False]
    assert (pictures[1] == 77).all()  # no evidence: the tile untouched
    page = draw_explanations([Explained([], pictures)], **ABOUT)
    x = LEFT + 3 * (SIDE + GAP)
    column = page[TOP : TOP + SIDE, x : x + SIDE]
    assert 0 < (column < 255).any(axis=2).sum() < 100
    with_relu = draw_explanations([Explained([], [flat(0)] * 5)], **ABOUT)
    heading = np.s_[TOP - LINE : TOP, x : x + SIDE]
    assert (page[heading] != with_relu[heading]).any()


def test_without_a_tile_there_is_a_sentence():
    page = draw_explanations([], **ABOUT)
    assert page.shape[0] < 150 and (page < 255).any()


@pytest.mark.parametrize("words", [["A name without end, " * 9], ["a"] * 9])
def test_words_stay_in_their_column(words):
    page = draw_explanations([Explained(words, [flat(200)] * 5)], **ABOUT)
    assert (page[TOP:, LEFT - 4 : LEFT] == 255).all()
