"""The best, the median and the worst slide of a method, and a picture of what it marks."""

import numpy as np
import pytest

from workflow.lib.maps.pyramids import write_heatmap
from workflow.lib.report.examples import choose_examples, draw_example
from workflow.lib.report.pictures import EDGE


def row(slide, dice, pxap="50", foreground="0.5"):
    return {"slide": slide, "dice_fg": dice, "pxap": pxap, "foreground": foreground}


def chosen(*rows):
    return {word: row["slide"] for word, row in choose_examples(rows).items()}


def test_slides_are_ranked_by_dice_then_by_pxap():
    rows = [row("a", "0", "30"), row("b", "0.9"), row("c", "0.5"), row("d", "0", "20")]
    assert chosen(*rows) == {"best": "b", "median": "a", "worst": "d"}
    assert chosen(*reversed(rows)) == chosen(*rows)


def test_where_the_truth_marks_nothing_there_is_nothing_to_rank():
    rows = [row("a", "0.5"), row("b", "0", "0", foreground="0"), row("c", "", "", foreground="")]
    assert chosen(*rows) == {"only": "a"}
    assert chosen(*rows[1:]) == chosen() == {}


def test_two_slides_have_no_median():
    assert chosen(row("a", "0.5"), row("b", "0.75")) == {"best": "b", "worst": "a"}


def test_without_a_threshold_pxap_ranks():
    rows = [row(name, "", pxap) for name, pxap in (("a", "9"), ("b", "80"), ("c", "10"))]
    assert chosen(*rows) == {"best": "b", "median": "c", "worst": "a"}


@pytest.fixture
def heatmap(tmp_path):
    """Probability 0.5 in the right half of a slide of 400 x 800 level-0 px."""
    probability = np.zeros((40, 80), np.float32)
    probability[:, 40:] = 0.5
    bands = [(0, probability, np.ones((40, 80), bool))]
    named = {"name": "a", "channels": {"tumour": (255, 0, 0)}}
    return write_heatmap(tmp_path / "h.ome.zarr", bands, (40, 80), mpp=5, mpp0=0.5, **named)


GEOMETRY = {"height_px0": 400, "width_px0": 800, "scale_px0": 10}


def test_a_heatmap_lies_on_its_slide_with_a_line_where_it_is_parted(heatmap):
    slide = np.full((200, 400, 3), 200, np.uint8)
    plain = draw_example(slide, heatmap, GEOMETRY, None)
    parted = draw_example(slide, heatmap, GEOMETRY, 0.25)
    np.testing.assert_array_equal(plain[:, :190], slide[:, :190])
    assert (plain[20:180, 220:380, 0] < 150).all()  # the green of a half
    np.testing.assert_allclose(parted[100, 200], EDGE, atol=40)
    np.testing.assert_array_equal(parted[20:180, 220:380], plain[20:180, 220:380])
    above = draw_example(slide, heatmap, GEOMETRY, 0.75)
    np.testing.assert_array_equal(above, plain)  # nothing is above it
