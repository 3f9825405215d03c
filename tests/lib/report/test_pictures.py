"""Pictures of a slide: as large as asked for, sharp where there are tiles, outlined in place."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workflow.lib.report.pictures import LINE, draw_slide, draw_truth, outline, read_picture, shrink
from workflow.lib.tiles.stores import Tiles, create_tiles, write_rows

SIDES = st.integers(1, 400)


def test_a_picture_is_read_as_rgb(tmp_path):
    Image.new("RGB", (3, 2), (250, 10, 90)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.shape == (2, 3, 3)
    assert tuple(picture[0, 0]) == (250, 10, 90)


def test_a_file_that_is_no_picture_is_named(tmp_path):
    (tmp_path / "a.png").write_text("no")
    with pytest.raises(ValueError, match=r"a\.png is not a picture; delete its folder"):
        read_picture(tmp_path / "a.png")


@given(SIDES, SIDES, st.integers(1, 500))
def test_a_picture_gets_no_larger_than_asked_for(height, width, limit):
    picture = np.zeros((height, width, 3), np.uint8)
    found = shrink(picture, max_side_px=limit).shape[:2]
    assert max(found) == min(limit, max(height, width))
    factor = max(found) / max(height, width)
    np.testing.assert_allclose(found, np.maximum(1, np.array((height, width)) * factor), atol=0.51)


def test_a_long_page_is_made_narrower_and_stays_long():
    assert shrink(np.zeros((5000, 800, 3), np.uint8), max_width_px=400).shape == (2500, 400, 3)
    assert shrink(np.zeros((5000, 300, 3), np.uint8), max_width_px=400).shape == (5000, 300, 3)


@pytest.fixture
def store(tmp_path):
    """A slide of 300 x 400 px with a red tile, and a green one that reaches over its right edge."""
    pixels = np.array([[[(200, 0, 0)]], [[(0, 200, 0)]]], np.uint8)
    pixels = np.broadcast_to(pixels, (2, 100, 100, 3))
    settings = {"count": 2, "tile_px": 100, "codec": "lossless", "quality": 90}
    group = create_tiles(tmp_path / "tiles.zarr", pixels, **settings)
    group.attrs.update({"tile_px": 100, "height_px": 300, "width_px": 400})
    corners = np.array([[100, 100], [200, 350]], np.int64)
    rows = {"positions_px": corners, "origins": corners, "bad": np.zeros(2, bool)}
    rows |= {name: np.ones(2, np.float32) for name in ("tissue", "blur")}
    for name, values in rows.items():
        write_rows(group, name, values)
    return Tiles(tmp_path / "tiles.zarr")


GREY = np.full((30, 40, 3), 220, np.uint8)


def test_a_small_thumbnail_gets_the_pixels_of_the_tiles(store):
    picture = draw_slide(GREY, store, max_side_px=200)
    expected = np.full((150, 200, 3), 220, np.uint8)
    expected[50:100, 50:100] = (200, 0, 0)
    expected[100:150, 175:200] = (0, 200, 0)
    np.testing.assert_array_equal(picture, expected)


def test_no_picture_is_finer_than_the_tiles(store):
    assert draw_slide(GREY, store, max_side_px=1000).shape == (300, 400, 3)


def test_a_thumbnail_that_is_large_enough_stays(store):
    large = np.full((120, 160, 3), 220, np.uint8)
    assert (draw_slide(large, store, max_side_px=320) == 220).all()
    assert draw_slide(large, store, max_side_px=80).shape == (60, 80, 3)


def test_an_outline_is_drawn_around_the_mask_and_around_its_holes():
    mask = np.zeros((300, 300), bool)
    mask[100:200, 100:200] = True
    mask[140:160, 140:160] = False
    drawn = outline(np.full((300, 300, 3), 150, np.uint8), mask)
    blue = np.abs(drawn.astype(int) - LINE).max(axis=2) < 20
    assert blue[100, 150] and blue[150, 100] and blue[150, 139]
    assert (drawn[120, 120] == 150).all() and (drawn[150, 150] == 150).all()
    assert (drawn[90, 90] == 150).all()


def truth(tmp_path, mask):
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    picture = np.full((100, 200, 3), 150, np.uint8)
    found = {"shape_px0": (1000, 2000), "size_mm": (0.5, 1.0)}
    return draw_truth(picture, tmp_path / "mask.png", **found), picture


def test_truth_is_outlined_and_its_area_is_told(tmp_path):
    mask = np.zeros((50, 100), np.uint8)
    mask[10:30, 20:70] = 1
    (title, drawn), _ = truth(tmp_path, mask)
    assert title == "pixel truth: 0.10 mm² marked"  # 1000 of 5000 px of 0.5 mm²
    ys, xs = np.nonzero(np.abs(drawn.astype(int) - LINE).max(axis=2) < 20)
    np.testing.assert_allclose((ys.min(), ys.max(), xs.min(), xs.max()), (20, 59, 40, 139), atol=1)


def test_empty_truth_is_told(tmp_path):
    (title, drawn), picture = truth(tmp_path, np.zeros((50, 100), np.uint8))
    assert title == "pixel truth: nothing marked"
    np.testing.assert_array_equal(drawn, picture)


def test_a_mask_of_another_shape_is_told_and_not_drawn(tmp_path):
    (title, drawn), picture = truth(tmp_path, np.ones((50, 50), np.uint8))
    assert title.startswith("pixel truth cannot be shown: mask.png is 50 x 50 px")
    np.testing.assert_array_equal(drawn, picture)
