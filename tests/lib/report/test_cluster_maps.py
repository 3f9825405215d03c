import numpy as np

from workflow.lib.report.cluster_maps import OPACITY, add_legend, colour_tiles, lay_tiles

RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_tiles_are_laid_where_their_boxes_are():
    thumbnail = np.full((4, 6, 3), 240, np.uint8)
    tile = np.zeros((16, 16, 3), np.uint8)
    page = lay_tiles(thumbnail, (40, 60), [(np.array([10, 20, 30, 40]), tile)])
    assert page.shape == (40, 60, 3)
    assert (page[10:30, 20:40] == 0).all()
    assert (page[:10] == 240).all() and (page[:, 40:] == 240).all()


def test_a_box_without_area_is_left_out():
    page = lay_tiles(
        np.full((2, 2, 3), 9, np.uint8), (4, 4), [([4, 0, 4, 2], np.zeros((8, 8, 3), np.uint8))]
    )
    assert (page == 9).all()


def test_tiles_are_tinted_and_the_rest_is_grey():
    picture = np.full((10, 20, 3), (200, 100, 150), np.uint8)
    boxes = np.array([[0, 0, 10, 10], [0, 5, 10, 10]])
    page = colour_tiles(picture, boxes, np.array([0, 1]), [RED, BLUE])
    grey = page[5, 15]
    assert grey[0] == grey[1] == grey[2] > 100
    assert page[5, 2, 0] > page[5, 2, 2] and page[5, 7, 2] > page[5, 7, 0]  # the last one wins
    assert page[5, 2, 1] == page[5, 2, 2]


def test_dark_tissue_stays_darker_under_the_colour():
    picture = np.full((4, 8, 3), 255, np.uint8)
    picture[:, :4] = 50
    page = colour_tiles(picture, np.array([[0, 0, 4, 8]]), np.array([0]), [RED])
    difference = int(page[0, 7, 1]) - int(page[0, 0, 1])
    assert abs(difference - (1 - OPACITY) * 205) <= 1


def test_the_legend_lists_the_clusters_of_the_slide_from_the_largest():
    ids = np.array([1, 1, 1, 3])
    colours = [RED, BLUE, (9, 9, 9), (0, 255, 0)]
    page = add_legend(np.zeros((100, 120, 3), np.uint8), ids, colours, title="a", note="b")
    column = page[:, 16 + 160 + 16 + 3]
    rows = [np.flatnonzero((column == colour).all(axis=1)) for colour in colours]
    assert not len(rows[0]) and not len(rows[2])
    assert 0 < rows[1].mean() < rows[3].mean()


def test_a_slide_without_tiles_says_so():
    page = add_legend(np.zeros((30, 30, 3), np.uint8), np.zeros(0, int), [RED], title="a", note="b")
    empty = add_legend(np.zeros((30, 30, 3), np.uint8), np.array([0]), [RED], title="a", note="b")
    assert page.shape == empty.shape and (page != empty).any()


def test_many_clusters_do_not_run_off_the_page():
    colours = [RED, BLUE] * 200
    page = add_legend(
        np.zeros((100, 100, 3), np.uint8), np.arange(400), colours, title="a", note="b"
    )
    assert page.shape[0] < 400
