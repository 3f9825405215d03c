"""Tiles by hand-computed values."""

import numpy as np
import pytest
from PIL import Image

from tests.synthetic import write_slide
from workflow.lib.maps.pyramids import write_heatmap
from workflow.lib.slides.slides import open_reader
from workflow.lib.viewer.cuts import (
    cut_cams,
    cut_clusters,
    cut_heatmap,
    cut_mask,
    cut_picture,
    cut_slide,
    tiles_in,
)
from workflow.lib.viewer.deepzoom import Box

WHITE = np.full((2, 2, 3), 255, np.uint8)


@pytest.fixture
def image(tmp_path):
    """5 x 6 px: red is 10 y + x, green 100, blue 0."""
    pixels = np.zeros((5, 6, 3), np.uint8)
    pixels[..., 0] = np.arange(5)[:, None] * 10 + np.arange(6)
    pixels[..., 1] = 100
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with open_reader(tmp_path / "a.png", mpp=0.5) as reader:
        yield reader


def test_the_finest_level_is_the_slide_itself(image):
    cut = cut_slide(image, Box((2, 1), (3, 2), 1), WHITE)
    assert cut[..., 0].tolist() == [[21, 22], [31, 32], [41, 42]]
    assert (cut[..., 1] == 100).all() and (cut[..., 2] == 0).all()


def test_a_coarser_level_is_the_mean_of_its_pixels(image):
    """Rows 0 and 1, columns 2 and 3: (2 + 3 + 12 + 13) / 4 = 7.5, to the even 8."""
    cut = cut_slide(image, Box((0, 2), (2, 2), 2), WHITE)
    assert cut[..., 0].tolist() == [[8, 10], [28, 30]]


def test_the_last_pixel_reaches_over_the_edge_of_the_slide(image):
    """Row 4 and what is below: half of it is the slide, half is white."""
    cut = cut_slide(image, Box((4, 0), (1, 3), 2), WHITE)
    assert cut[0, :, 0].tolist() == [round((40.5 + 255) / 2), 149, 150]


def test_from_afar_the_thumbnail_is_drawn(image):
    far = cut_slide(image, Box((0, 0), (1, 1), 32), np.full((2, 2, 3), 77, np.uint8))
    assert far.tolist() == [[[77, 77, 77]]]


def test_the_nearest_finer_level_is_read(tmp_path):
    """A pyramid whose second level was painted over shows where a tile comes from."""
    pixels = np.full((1024, 1024, 3), 200, np.uint8)
    write_slide(tmp_path / "a.tif", pixels, mpp=0.5)
    with open_reader(tmp_path / "a.tif") as reader:
        asked = []
        read, count = reader.read, len(reader.levels)
        reader.read = lambda origin, shape, level: (
            asked.append((origin, shape, level)) or read(origin, shape, level)
        )
        for step in (1, 2, 4):
            cut = cut_slide(reader, Box((256, 0), (64, 32), step), WHITE)
            assert cut.shape == (64, 32, 3) and abs(cut.astype(int) - 200).max() <= 2
        downsamples = [round(level.downsample) for level in reader.levels]
    assert count > 1
    for (origin, shape, level), step in zip(asked, (1, 2, 4), strict=True):
        finer = [d for d in downsamples if d <= step]
        assert origin == (256, 0) and downsamples[level] == max(finer)
        assert shape == (64 * step // max(finer), 32 * step // max(finer))


def test_a_picture_of_the_slide_is_enlarged_and_reduced():
    picture = np.repeat(np.array([[0, 100], [100, 200]], np.uint8)[..., None], 3, axis=2)
    whole = cut_picture(picture, (8, 8), Box((0, 0), (2, 2), 4))
    assert (whole == picture).all()
    # Pixel centres of the tile at 5 and 7 level-0 px are 0.75 and 1.25 px of the picture: from
    # the first centre, 0.5, a quarter and three quarters of the way to the second.
    finer = cut_picture(picture, (8, 8), Box((0, 2), (1, 2), 2))
    assert finer[0, :, 0].tolist() == [25, 75]


def test_a_mask_has_the_label_at_the_centre_of_a_pixel():
    mask = np.array([[1, 0], [2, 3]], np.uint8)
    cut = cut_mask(mask, (4, 4), Box((0, 0), (4, 4), 1))
    assert cut.tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert cut_mask(mask, (4, 4), Box((2, 2), (2, 2), 2)).tolist() == [[3, 0], [0, 0]]


@pytest.fixture
def heatmap(tmp_path):
    """512 x 300 px, row / 511 of probability, the first 100 columns not looked at."""
    rows = np.broadcast_to((np.arange(512) / 511)[:, None], (512, 300)).astype(np.float32)
    covered = np.ones((512, 300), bool)
    covered[:, :100] = False
    about = {"mpp": 2.0, "mpp0": 0.5, "name": "a", "channels": {"c": (1, 2, 3)}}
    return write_heatmap(tmp_path / "h.zarr", [(0, rows, covered)], (512, 300), **about)


def test_a_heatmap_at_its_own_pixels(heatmap):
    cut = cut_heatmap(heatmap, 4.0, Box((1024, 400), (3, 2), 4))
    np.testing.assert_allclose(cut[:, 0] * 511, [256, 257, 258], atol=0.01)
    assert (cut[:, 0] == cut[:, 1]).all()
    assert (cut_heatmap(heatmap, 4.0, Box((1024, 392), (3, 2), 4)) == 0).all()


def test_a_heatmap_from_afar_and_from_near(heatmap):
    """Half as fine: the mean of two rows. Twice as fine: a quarter and three quarters between."""
    far = cut_heatmap(heatmap, 4.0, Box((1024, 800), (2, 1), 8))
    np.testing.assert_allclose(far[:, 0] * 511, [256.5, 258.5], atol=0.01)
    near = cut_heatmap(heatmap, 4.0, Box((1024, 800), (4, 1), 2))
    np.testing.assert_allclose(near[:, 0] * 511, [255.75, 256.25, 256.75, 257.25], atol=0.02)
    assert cut_heatmap(heatmap, 4.0, Box((0, 0), (128, 75), 16)).shape == (128, 75)


def test_a_heatmap_pixel_may_be_no_power_of_two_wide(heatmap):
    """3 level-0 px wide: pixel 10 of step 2 has its centre at 21 / 3 = 7 px, between 6 and 7."""
    cut = cut_heatmap(heatmap, 3.0, Box((20, 600), (1, 1), 2))
    np.testing.assert_allclose(cut * 511, [[6.5]], atol=0.03)


CORNERS = np.array([[0.0, 0.0], [0.0, 4.0], [4.0, 0.0]])


def test_which_tiles_a_box_meets():
    found = dict(tiles_in(CORNERS, 4.0, Box((0, 2), (2, 3), 2)))
    assert found == {0: (0, -1, 2, 1), 1: (0, 1, 2, 3)}


def test_clusters_lie_where_their_tiles_lie():
    ids = np.array([5, 6, 7])
    cut = cut_clusters(ids, CORNERS, 4.0, Box((0, 0), (4, 4), 2))
    assert cut.tolist() == [[6, 6, 7, 7], [6, 6, 7, 7], [8, 8, 0, 0], [8, 8, 0, 0]]
    assert (cut_clusters(ids[:0], CORNERS[:0], 4.0, Box((0, 0), (1, 1), 1)) == 0).all()


def test_raw_evidence_lies_where_its_tiles_lie():
    """Map n is n everywhere in channel 1, and 9 in channel 0."""
    maps = np.full((3, 2, 2, 2), 9, np.float16)
    maps[:, 1] = np.arange(3)[:, None, None]
    cut = cut_cams(maps, 1, CORNERS, 4.0, Box((0, 2), (6, 4), 1))
    assert cut[:4].tolist() == [[0, 0, 1, 1]] * 4
    assert cut[4, :2].tolist() == [2, 2] and np.isnan(cut[4:, 2:]).all()
    assert np.isnan(cut_cams(maps, 1, CORNERS, 4.0, Box((8, 8), (2, 2), 1))).all()
