"""Pictures of tiles, filters and sentences."""

import numpy as np
import pytest

from workflow.lib.report.galleries import (
    FILTERS,
    Cell,
    Strip,
    draw_filters,
    draw_gallery,
    draw_sentence,
    scale_filter,
)
from workflow.lib.report.montage import GAP, LINE, MARGIN, SWATCH, THUMB

RED, GREEN, BLUE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
LEFT, TOP = 2 * MARGIN + SWATCH, MARGIN + 3 * LINE


def cell(colour, words=(), box=None):
    return Cell(np.full((32, 32, 3), colour, np.uint8), words, box)


def middle(page, x, y):
    return tuple(page[y + THUMB // 2, x + THUMB // 2])


def test_tiles_stand_in_their_groups_beside_their_swatch():
    strips = [
        Strip("0", BLUE, [[cell(RED, ["a"])], [cell(GREEN, ["b"]), cell(RED, ["c"])]]),
        Strip("1", BLUE, [[cell(GREEN, ["d"])], []]),
    ]
    page = draw_gallery(strips, title="t", headings=["one", "two"])
    assert page.dtype == np.uint8
    second = LEFT + THUMB + GAP + MARGIN
    pitch = THUMB + 15 + 3 * GAP
    assert page.shape[0] == TOP + 2 * pitch + MARGIN
    assert middle(page, LEFT, TOP) == RED
    assert middle(page, second, TOP) == GREEN
    assert middle(page, second + THUMB + GAP, TOP) == RED
    assert middle(page, LEFT, TOP + pitch) == GREEN
    assert tuple(page[TOP + 2, MARGIN + 2]) == BLUE
    assert middle(page, second + THUMB + GAP, TOP + pitch) == (255, 255, 255)
    dash = page[TOP + pitch : TOP + pitch + THUMB, second : second + THUMB]
    assert dash.min() < 160  # says that there is nothing


def test_a_box_is_drawn_where_it_is_said():
    strip = Strip("7", BLUE, [[cell(GREEN, box=(0.5, 0.0, 1.0, 0.5))]])
    page = draw_gallery([strip], title="t", headings=[""])
    tile = page[TOP : TOP + THUMB, LEFT : LEFT + THUMB]
    changed = (tile != GREEN).any(axis=2)
    assert changed[THUMB // 2 :, : THUMB // 2 + 2].any()
    assert not changed[: THUMB // 2 - 2].any() and not changed[:, THUMB // 2 + 2 :].any()
    assert tuple(tile[3 * THUMB // 4, THUMB // 4]) == GREEN  # its inside stays to be seen


def test_small_tiles_keep_their_pixels():
    tile = np.zeros((2, 2, 3), np.uint8)
    tile[0, 0] = 255
    page = draw_gallery([Strip("", BLUE, [[Cell(tile)]])], title="", headings=[""])
    shown = page[TOP : TOP + THUMB, LEFT : LEFT + THUMB]
    assert set(np.unique(shown)) == {0, 255}
    assert (shown[: THUMB // 2, : THUMB // 2] == 255).all()


def test_long_words_stay_within_their_tile():
    strip = Strip("0", BLUE, [[cell(RED, ["a name that is much too long for a tile"])]])
    page = draw_gallery([strip], title="", headings=["a heading that is too long as well" * 3])
    assert (page[TOP - LINE :, LEFT + THUMB + 1 :] == 255).all()


def test_a_long_title_widens_the_page():
    short, long = (draw_gallery([], title="t" * n, headings=["a"]) for n in (1, 200))
    assert long.shape[1] > 1000 > short.shape[1]
    assert (long[:, -MARGIN:] == 255).all()


def test_a_filter_is_grey_at_zero_and_symmetric():
    weights = np.array([0.0, -2.0, 1.0]).reshape(3, 1, 1)
    assert scale_filter(weights).tolist() == [[[128, 1, 192]]]
    assert scale_filter(-weights).tolist() == [[[128, 255, 65]]]
    assert scale_filter(10 * weights).tolist() == scale_filter(weights).tolist()
    assert scale_filter(np.zeros((3, 2, 2))).tolist() == [[[128] * 3] * 2] * 2


def test_a_mosaic_shows_every_filter_once_in_order():
    filters = np.zeros((5, 3, 2, 2))
    for index in range(5):
        filters[index, 0, 0, 0] = 1
        filters[index, 1] = index / 8
    page = draw_filters(filters, title="")
    side, top = 44, MARGIN + 2 * LINE
    for index in range(5):
        y, x = divmod(index, 4)  # twice as wide as high
        y, x = top + y * (side + GAP), MARGIN + x * (side + GAP)
        expected = scale_filter(filters[index]).repeat(22, 0).repeat(22, 1)
        np.testing.assert_array_equal(page[y : y + side, x : x + side], expected)


@pytest.mark.parametrize("count", [1, FILTERS + 50])
def test_any_number_of_filters_fits(count):
    page = draw_filters(-np.ones((count, 3, 16, 16)), title="t")
    cells = (page == 255).all(axis=2)[MARGIN + 2 * LINE :]
    assert page.shape[0] < 1000 and not cells.all()
    assert (page[:, -MARGIN:] == 255).all() and (page[-MARGIN:] == 255).all()


def test_a_sentence_fits_its_picture():
    page = draw_sentence("There is nothing. " * 5, title="Fold 0")
    assert page.min() < 100
    assert (page[:, -MARGIN + 1 :] == 255).all() and (page[-MARGIN:] == 255).all()
