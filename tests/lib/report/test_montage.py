import numpy as np
import pytest

from workflow.lib.report.montage import (
    MARGIN,
    ROWS,
    SWATCH,
    THUMB,
    Row,
    _shares,
    choose_tiles,
    cluster_colours,
    draw_montage,
    font,
    label_greys,
    shorten,
)


def tiles(count, value=200):
    return np.full((count, 32, 32, 3), value, np.uint8)


def row(cluster, near=3, drawn=2, labels=None, value=200):
    size = sum((labels or {"": 10}).values())
    return Row(cluster, size, 4, 2, labels or {}, tiles(near, value), tiles(drawn, value))


def choose(distance, slides=None, corners=None, **changes):
    count = len(distance)
    slides = np.arange(count) if slides is None else np.array(slides)
    corners = np.zeros((count, 2), int) if corners is None else np.array(corners)
    settings = {"tile_px": 10, "count": 4, "rng": np.random.default_rng(0)} | changes
    return choose_tiles(np.array(distance, float), slides, corners, **settings)


def test_half_of_the_tiles_are_the_nearest_and_half_are_others():
    near, drawn = choose([0.5, 0.1, 0.9, 0.2, 0.8, 0.7])
    assert near.tolist() == [1, 3]
    assert len(drawn) == 2 and not set(drawn) & {1, 3}
    odd, _ = choose([0.5, 0.1, 0.9], count=3)
    assert odd.tolist() == [1, 0]


def test_overlapping_tiles_of_a_slide_are_shown_once():
    near, drawn = choose([0.1, 0.2, 0.3], [0, 0, 0], [(0, 0), (0, 9), (0, 10)])
    assert near.tolist() == [0, 2] and drawn.tolist() == []
    near, _ = choose([0.1, 0.2], [0, 1], [(0, 0), (0, 9)])  # of two slides they do not overlap
    assert near.tolist() == [0, 1]


def test_few_tiles_and_none_are_fine():
    near, drawn = choose([0.3])
    assert near.tolist() == [0] and drawn.tolist() == []
    near, drawn = choose([])
    assert near.tolist() == drawn.tolist() == []


def test_tiles_at_random_follow_the_seed():
    first, again, other = (
        choose(np.arange(50), rng=np.random.default_rng(seed))[1].tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_row_has_its_colour_and_its_tiles():
    page = draw_montage([row(0), row(1, value=90)], title="Two")
    assert page.dtype == np.uint8 and page.shape[2] == 3
    for index, colour in enumerate(cluster_colours(2)):
        y = MARGIN + 4 * 19 + index * (THUMB + 8) + 5
        assert tuple(page[y, MARGIN + 5]) == colour
        assert (page[y + 20] == (200, 90)[index]).all(axis=1).sum() == 5 * THUMB


def test_the_bar_shows_the_share_of_each_label():
    page = draw_montage([row(0, labels={"normal": 30, "tumour": 10})], title="One")
    greys = label_greys(["normal", "tumour"])
    line = page[MARGIN + 4 * 19 + 54, MARGIN + SWATCH + MARGIN :]
    counts = [(line == grey).all(axis=1).sum() for grey in greys.values()]
    assert counts[0] / sum(counts) == pytest.approx(0.75, abs=0.02)


def test_a_cluster_without_tiles_has_a_row():
    page = draw_montage([row(0), Row(1, 0, 0, 0, {}, tiles(0), tiles(0))], title="Empty")
    assert page.shape[0] > 2 * THUMB


def test_no_clusters_make_a_page_too():
    assert draw_montage([], title="None").shape[2] == 3


def test_a_long_page_ends_and_says_so():
    many = [row(cluster, near=1, drawn=0) for cluster in range(ROWS + 5)]
    page, full = (draw_montage(part, title="Many") for part in (many, many[:ROWS]))
    assert page.shape[0] == full.shape[0] + 19


def test_colours_repeat_only_after_forty():
    colours = cluster_colours(100)
    assert len(set(colours[:40])) == 40 and colours[40] == colours[0]


def test_labels_are_listed_with_their_share_as_far_as_there_is_room():
    long = "adenocarcinoma, well differentiated, with mucinous parts"
    assert _shares(row(0, labels={"normal": 30, "tumour": 10}), 230) == "normal 75%, tumour 25%"
    assert _shares(row(0, labels={"normal": 30, long: 10}), 230) == "normal 75%"
    only = _shares(row(0, labels={long: 40}), 230)
    assert only.startswith("adeno") and only.endswith("… 100%")
    assert font(13).getlength(only) <= 230


def test_words_are_cut_to_their_room():
    assert shorten("normal 50%", 500, 13) == "normal 50%"
    cut = shorten("a very long name of a class " * 9, 120, 13)
    assert cut.endswith("…") and font(13).getlength(cut) <= 120
