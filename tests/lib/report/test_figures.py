"""Figures: the same bytes every time, words as text, every line and number in them."""

import re
import warnings
import xml.etree.ElementTree as ElementTree

import pytest

from workflow.lib.report.colours import hex_colour, palette
from workflow.lib.report.figures import draw_confusion, draw_lines

LINES = {"one": ([0, 1], [0, 1]), "two": ([0, 1], [1, 0])}
AXES = {"x": "recall", "y": "precision"}


def texts(svg):
    return [node.text for node in ElementTree.fromstring(svg).iter() if node.tag.endswith("text")]  # noqa: S314


def test_the_same_figure_is_the_same_bytes():
    assert draw_lines(LINES, **AXES) == draw_lines(LINES, **AXES)
    assert draw_confusion([[1, 0], [2, 3]], ["a", "b"]) == draw_confusion(
        [[1, 0], [2, 3]], ["a", "b"]
    )


def test_axes_lines_and_chance_are_named():
    found = texts(draw_lines(LINES, **AXES, unit_square=True, chance=([0, 1], [0.3, 0.3])))
    assert {"recall", "precision", "one", "two", "chance"} <= set(found)
    assert "chance" not in texts(draw_lines(LINES, **AXES))


def test_lines_differ_in_colour_and_in_dash():
    svg = draw_lines(LINES, **AXES)
    for colour in palette(2):
        assert f"stroke: {hex_colour(colour)}" in svg
    assert svg.count("stroke-dasharray") > draw_lines({"one": LINES["one"]}, **AXES).count(
        "stroke-dasharray"
    )


def test_a_stepped_line_holds_back_to_the_point_before():
    """From (0, 1) to (1, 0): down at 0, then level; a plain line has two points only."""
    plain, stepped = (
        draw_lines({"one": ([0, 1], [1, 0])}, **AXES, unit_square=True, steps=steps)
        for steps in (False, True)
    )
    plain, stepped = (path(svg, hex_colour(palette(1)[0])) for svg in (plain, stepped))
    assert len(plain) == 2 and len(stepped) == 3
    assert stepped[0] == plain[0] and stepped[2] == plain[1]
    assert stepped[1] == (plain[0][0], plain[1][1])


def path(svg, colour):
    """The points of the first line in a colour."""
    line = next(part for part in svg.split("<path ") if f"stroke: {colour}" in part)
    words = line.split('d="')[1].split('"')[0].replace("M", "").replace("L", "").split()
    return [(float(x), float(y)) for x, y in zip(words[::2], words[1::2], strict=True)]


def test_a_mark_is_drawn_for_each_name_that_has_one():
    counts = [
        draw_lines(LINES, **AXES, marks=marks).count("<use")
        for marks in (None, {"one": (0.5, 0.5)}, {"one": (0.5, 0.5), "two": (0, 1)})
    ]
    assert counts[1] == counts[0] + 1 and counts[2] == counts[0] + 2


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a $x$ b", "$", "_hidden", "&amp;"])
def test_a_name_is_text_whatever_it_is(name):
    assert name in texts(draw_confusion([[1, 0], [0, 1]], [name, "b"]))
    assert f"a: {name}" in texts(draw_lines({f"a: {name}": LINES["one"]}, **AXES))


def test_a_long_name_is_cut_and_leaves_room_for_the_cells():
    name = "not otherwise specified carcinoma of the breast, after therapy"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns when axes collapse
        found = texts(draw_confusion([[1, 0], [0, 1]], [name, "b"]))
    assert "not otherwise… after therapy" in found


def test_names_that_differ_at_their_end_stay_apart_when_cut():
    done = ("unrefined", "cleaned", "CRF")
    lines = {f"Glands by stain and shape, {how}": LINES["one"] for how in done}
    found = [text for text in texts(draw_lines(lines, **AXES)) if "…" in text or "CRF" in text]
    assert len(set(found)) == 3
    assert all(name.endswith(how) for name, how in zip(found, done, strict=True))


def test_many_lines_have_their_legend_beside_them():
    many = {str(count): LINES["one"] for count in range(12)}
    width = [
        float(draw_lines(lines, **AXES).split('width="')[1].split("pt")[0])
        for lines in (LINES, many)
    ]
    assert width[1] > width[0]
    assert set(many) <= set(texts(draw_lines(many, **AXES)))


def test_a_confusion_shows_counts_and_shares_of_the_row():
    found = texts(draw_confusion([[3, 1], [0, 0]], ["a", "b"]))
    assert {"3", "75%", "1", "25%"} <= set(found)
    assert found.count("0") == 2 and found.count("0%") == 2  # a class that does not occur


def test_a_level_is_a_line_across_with_its_name_at_its_end():
    """At 0.5 it is half way between the ends of a line from 0 to 1, and in no legend."""
    svg = draw_lines({"one": ([0, 1], [0, 1])}, **AXES, levels={"limit": 0.5})
    assert texts(svg).count("limit") == 1
    (_, low), (_, high) = path(svg, hex_colour(palette(1)[0]))
    (left, first), (right, second) = path(svg, "#404040")
    assert first == second == pytest.approx((low + high) / 2)
    x, y = map(float, re.search(r' x="([0-9.]+)" y="([0-9.]+)"[^>]*>limit<', svg).groups())
    assert x > right > left and y == pytest.approx(first, abs=5)
