"""Which tiles are explained, and the evidence that is shown of one."""

import numpy as np
import pytest

from workflow.lib.evidence.explained_tiles import Pick, find_tile, pick_tiles, tile_evidence


def pick(first, slides, **settings):
    """Picks of two classes from the probabilities of the first."""
    probability = np.stack([first, 1 - np.array(first)], axis=1)
    settings = {"most": 0, "least": 0, "named": []} | settings
    return pick_tiles(probability, np.array(slides), **settings)


def test_of_each_class_the_most_and_the_least_certain_of_those_called_so():
    picks = pick([0.9, 0.6, 0.7, 0.2, 0.45], [0, 1, 2, 3, 4], most=1, least=1)
    assert picks == [
        Pick("most certain", 0, 0),
        Pick("least certain", 1, 0),
        Pick("most certain", 3, 1),
        Pick("least certain", 4, 1),
    ]


def test_slides_take_turns_and_no_tile_is_shown_twice():
    picks = pick([0.99, 0.98, 0.97, 0.6, 0.7], [5, 5, 5, 8, 8], most=3, least=5)
    assert [p.tile for p in picks if p.why == "most certain"] == [0, 4, 1]
    assert [p.tile for p in picks if p.why == "least certain"] == [3, 2]


def test_named_tiles_follow_in_the_class_that_they_are_called():
    picks = pick([0.9, 0.3, 0.8], [0, 0, 0], most=1, named=[1, 2, 0, 2])
    assert picks == [
        Pick("most certain", 0, 0),
        Pick("named", 2, 0),
        Pick("most certain", 1, 1),
    ]


def test_without_tiles_there_is_nothing_to_pick():
    assert pick_tiles(np.empty((0, 3)), np.empty(0, int), most=2, least=2, named=[]) == []


class Store:
    """Tiles of 10 px, 20 px at level 0, two of which overlap."""

    attrs = {"tile_px": 10, "scale": 2.0}  # noqa: RUF012
    origins = np.array([[0, 0], [0, 20], [40, 0], [40, 10]])

    def __len__(self):
        return len(self.origins)


@pytest.mark.parametrize(
    "place, row", [("3", 3), ("0,0", 0), ("39,19", 1), ("25,3", 1), ("4,45", 2), ("17,45", 3)]
)
def test_a_tile_is_found_by_number_or_by_x_and_y(place, row):
    assert find_tile("s", Store(), place) == row


def test_tiles_that_are_not_there_are_refused_by_name():
    with pytest.raises(ValueError, match=r"named: s has 4 tiles, counted from 0.* number 4"):
        find_tile("s", Store(), "4")
    with pytest.raises(ValueError, match=r"named: no tile of s lies at x,y = 25,30, which are"):
        find_tile("s", Store(), "25,30")  # x, y: (y 25, x 30) would be beside the first


def test_softmax_compares_the_classes_and_other_scales_are_the_tile_s_own():
    cams = np.log(np.array([[[[1.0, 3.0]], [[3.0, 1.0]]]], np.float32))
    shown = {"scale": "softmax", "tile_px": 2}
    np.testing.assert_allclose(tile_evidence(cams, 0, cam="cam", **shown), [[0.25, 0.75]] * 2)
    for scale, cam in (("softmax", "gradcam"), ("minmax", "cam"), ("minmax_tile", "cam")):
        found = tile_evidence(cams, 1, cam=cam, scale=scale, tile_px=2)
        np.testing.assert_allclose(found, [[1, 0]] * 2)


def test_a_cut_is_shown_as_it_is():
    cams = np.ones((1, 2, 2, 2), np.float16)  # all foreground, without contrast
    assert (tile_evidence(cams, 0, cam="grabcut", scale="softmax", tile_px=4) == 1).all()
