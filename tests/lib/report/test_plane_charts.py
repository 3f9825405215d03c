"""Panels of points: what is named, what is grey, and that everything fits."""

import numpy as np
import pytest

from workflow.lib.report.colours import NO_DATA, palette
from workflow.lib.report.montage import cluster_colours
from workflow.lib.report.plane_charts import ENTRIES, Panel, draw_planes, make_panels, ordered


def has(picture, colour):
    """Whether a colour is drawn in it, as far as points are transparent on white."""
    seen = 0.75 * np.array(colour) + 0.25 * 255
    return (np.abs(picture.astype(float) - seen).max(axis=2) < 3).any()


def drawn(of, names, **more):
    points = np.random.default_rng(0).uniform(size=(len(of), 2))
    return draw_planes(points, [Panel("by it", names, np.array(of), **more)], title="Fold 0")


def test_groups_have_the_colours_that_were_given():
    picture = drawn([0, 0, 1, 3], list("0123"), colours=cluster_colours(4), numbered=True)
    shown = [has(picture, colour) for colour in cluster_colours(4)]
    assert shown == [True, True, False, True]  # cluster 2 has no point


def test_groups_without_colours_get_those_of_the_palette():
    picture = drawn([0] * 9 + [1] * 9, ["a", "b"])
    assert [has(picture, colour) for colour in palette(3)] == [True, True, False]


def test_groups_past_the_legend_are_grey():
    of = np.repeat(np.arange(ENTRIES + 3), 9)
    names = [f"p{group:02}" for group in range(ENTRIES + 3)]
    some, whole = drawn(of, names), drawn(of[of < ENTRIES], names)
    grey, stray = ((picture == NO_DATA).all(axis=2).sum() for picture in (some, whole))
    assert grey > stray + 100  # of letters, a few pixels are of that grey by chance


@pytest.mark.parametrize("names", [["a" * 90, "b"], [f"{'x' * 40}{i}" for i in range(12)]])
def test_nothing_reaches_the_border(names):
    panel = Panel("by it", names, np.arange(60) % len(names))
    points = np.random.default_rng(0).uniform(size=(60, 2))
    for count in (1, 4):
        picture = draw_planes(points, [panel] * count, title="Fold 0")
        assert picture.shape[1] <= 1341
        border = [picture[:, 0], picture[:, -1], picture[0], picture[-1]]
        assert all((line == 255).all() for line in border)


@pytest.mark.parametrize("count", [0, 1])
def test_no_point_or_one_is_drawn_too(count):
    picture = draw_planes(
        np.zeros((count, 2)), [Panel("by it", ["0"], np.zeros(count, int))], title="Fold 0"
    )
    assert picture.ndim == 3 and picture.dtype == np.uint8


def test_the_same_points_give_the_same_picture():
    assert drawn([0, 1, 1], ["a", "b"]).tobytes() == drawn([0, 1, 1], ["a", "b"]).tobytes()


def test_only_what_differs_gets_a_panel():
    said = {"label": ["x", "y"], "patient": ["p", "p"], "site": ["", ""]}
    (panel,) = make_panels(said)
    assert (panel.title, panel.names, panel.of.tolist()) == ("by label", ["x", "y"], [0, 1])
    assert make_panels({"site": []}) == []


def test_what_is_not_given_is_said():
    assert make_panels({"site": ["b", ""]})[0].names == ["b", "not given"]
    assert ordered([])[0] == []
