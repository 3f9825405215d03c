"""Colours: apart for every eye, ordered for probabilities."""

import re
from itertools import combinations

import numpy as np
import pytest

from workflow.lib.report.colours import (
    NO_DATA,
    OKABE_ITO,
    VISION,
    class_colour,
    hex_colour,
    oklab,
    palette,
    probability_colours,
)


def closest(colours, vision):
    """The smallest distance between two of the colours, in Oklab."""
    seen = oklab(np.array(colours), vision)
    return min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))


def test_oklab_by_its_definition():
    np.testing.assert_allclose(oklab(np.array([255, 255, 255])), [1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(oklab(np.array([255, 0, 0])), [0.628, 0.225, 0.126], atol=1e-3)


def test_dichromats_confuse_red_and_green_but_not_blue_and_yellow():
    red, green = (190, 60, 0), (95, 125, 0)
    assert closest([red, green], "deuteranopia") < 0.35 * closest([red, green], "normal")
    assert closest([(0, 0, 255), (255, 255, 0)], "deuteranopia") > 0.4


@pytest.mark.parametrize("vision", VISION)
def test_colours_stay_apart(vision):
    assert closest(palette(7), vision) > 0.07
    assert closest(palette(12), vision) > 0.07
    assert closest(palette(20), vision) > 0.06


def test_a_longer_palette_begins_with_the_shorter():
    assert palette(30)[:12] == palette(12)
    assert palette(3) == OKABE_ITO[:3]
    assert len(set(palette(64))) == 64
    assert class_colour(1) == (213, 94, 0)
    assert palette(0) == ()


def test_no_colour_looks_like_no_data():
    assert closest([NO_DATA, *palette(24)], "normal") > 0.05


def test_too_many_colours():
    with pytest.raises(ValueError, match="no 5000 different colours"):
        palette(5000)


def test_hex():
    assert hex_colour((0, 158, 115)) == "#009e73"
    assert re.fullmatch(r"#[0-9a-f]{6}", hex_colour(palette(20)[-1]))


def test_probability_grows_lighter_in_even_steps():
    colours = probability_colours(np.linspace(0, 1, 11))
    assert colours.dtype == np.uint8
    assert colours.shape == (11, 3)
    for vision in VISION:
        assert (np.diff(oklab(colours, vision)[:, 0]) > 0.02).all()
    assert colours[0].tolist() == [68, 1, 84]  # dark purple: RGB, not BGR
    np.testing.assert_allclose(colours[-1], [253, 231, 37], atol=1)  # yellow


def test_probability_of_any_shape():
    assert probability_colours(np.zeros((2, 3))).shape == (2, 3, 3)
    np.testing.assert_array_equal(
        probability_colours(np.array([-0.1, 1.1])), probability_colours(np.array([0.0, 1.0]))
    )
