import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib.mutators import damage_tiles, drop_tiles, good, picture
from workflow.lib.slides.slides import Level, open_reader
from workflow.lib.slides.surveys import brightness, level_for, survey, thumbnail_shape


@dataclass
class Array:
    """An array that answers like a slide of one level and notes what it was asked for."""

    pixels: np.ndarray
    tile: tuple[int, int] = (256, 256)

    def __post_init__(self) -> None:
        self.height_px0, self.width_px0 = self.pixels.shape[:2]
        self.levels = (Level(self.width_px0, self.height_px0, 1.0),)
        self.tile_shapes = (self.tile,)
        self.asked = []

    def read_stored(self, origin: tuple, shape: tuple, level: int) -> tuple:
        self.asked.append(shape)
        (y, x), (height, width) = origin, shape
        region = self.pixels[y : y + height, x : x + width]
        return region, np.ones(region.shape[:2], bool)


def areas(pixels: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Area averages from their definition: weights of each px in each cell, both ways."""
    both = []
    for side, cells in zip(pixels.shape[:2], shape, strict=True):
        edges = np.linspace(0, side, cells + 1)
        start, stop = np.arange(side), np.arange(1, side + 1)
        overlap = np.minimum(edges[1:, None], stop) - np.maximum(edges[:-1, None], start)
        both.append(np.clip(overlap, 0, None) * cells / side)
    return np.einsum("iy,yxc,jx->ijc", both[0], pixels.astype(float), both[1])


@settings(max_examples=40)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(1, 100),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.integers(0, 99),
)
def test_each_pixel_is_the_mean_of_the_area_under_it(
    size: tuple, side: int, tile: tuple, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workflow.lib.slides.surveys._BLOCK_PX", 32)  # many blocks in a small slide
        found = survey(Array(pixels, tile), side)
    expected = areas(pixels, thumbnail_shape(size, side))
    np.testing.assert_allclose(found.rgb, expected, atol=0.51)
    np.testing.assert_allclose(found.stored, 1.0, atol=1e-5)
    assert found.tiles == -(-size[0] // tile[0]) * -(-size[1] // tile[1])


def test_it_agrees_with_opencv() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 2300, 3), dtype=np.uint8)
    found = survey(Array(pixels), 230)
    assert found.rgb.shape == (150, 230, 3)
    expected = cv2.resize(pixels, (230, 150), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(found.rgb.astype(int), expected, atol=1)


@pytest.mark.parametrize("tile", [(8, 4000), (3000, 4000), (1, 4000), (100, 100)])
def test_no_read_is_larger_than_a_block(tile: tuple) -> None:
    array = Array(np.zeros((3000, 4000, 3), np.uint8), tile)
    survey(array, 100)
    assert max(height * width for height, width in array.asked) <= 2048 * 2048


def test_a_slide_is_never_enlarged_and_never_vanishes() -> None:
    assert thumbnail_shape((300, 420), 1000) == (300, 420)
    assert thumbnail_shape((5, 100_000), 100) == (1, 100)


def test_the_coarsest_level_that_is_fine_enough_is_read(tmp_path: Path) -> None:
    with open_reader(good(tmp_path / "slide.tif", compression=None)) as reader:
        # levels are 420, 210, 105 and 53 px wide
        wanted = {420: 0, 211: 0, 210: 1, 106: 1, 100: 2, 53: 3, 10: 3}
        for side, level in wanted.items():
            shape = thumbnail_shape((300, 420), side)
            assert level_for(reader, shape) == level
            assert reader.survey(side).rgb.shape[:2] == shape
        # level 2 is 105 px wide: taking 100 px from it blurs the edges a little
        whole = cv2.resize(picture(), (100, 71), interpolation=cv2.INTER_AREA)
        assert abs(reader.thumbnail(100) - whole.astype(int)).mean() < 2


def test_damaged_tiles_are_white_and_counted_and_missing_ones_are_white(tmp_path: Path) -> None:
    slide = good(tmp_path / "slide.tif", pyramid=False)
    with open_reader(slide) as reader:
        whole = reader.survey(420)
    damage_tiles(drop_tiles(slide, tiles=[0]), tiles=[16, 17])
    with open_reader(slide) as reader:
        found = reader.survey(420)
        assert reader.bad_reads == 3  # the block, then each tile alone
    assert (found.bad, found.tiles) == (2, 35)
    assert found.damaged == pytest.approx(2 * 64 * 64 / (300 * 420))
    lost = np.zeros((300, 420), bool)
    lost[:64, :64] = lost[128:192, 128:256] = True
    np.testing.assert_allclose(found.stored, ~lost, atol=1e-5)
    assert (found.rgb[lost] == 255).all()
    np.testing.assert_array_equal(found.rgb[~lost], whole.rgb[~lost])


def test_brightness_is_the_median_of_what_is_stored_and_not_black() -> None:
    rgb = np.array([[[100, 100, 100], [200, 200, 200], [0, 0, 0], [255, 255, 255]]], np.uint8)
    assert brightness(rgb, np.array([[1, 1, 1, 0]])) == pytest.approx(150)
    assert brightness(rgb, np.zeros((1, 4))) == 0
    assert brightness(np.full((4, 4, 3), (0, 0, 200), np.uint8), np.ones((4, 4))) == (
        pytest.approx(22.8)  # blue is dark to the eye: 0.114 * 200
    )


def test_a_large_picture_takes_little_more_memory_than_its_sums(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workflow.lib.slides.surveys._BLOCK_PX", 128)
    slide = Array(np.zeros((1500, 2000, 3), np.uint8), (128, 128))
    tracemalloc.start()
    survey(slide, 2000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (16 + 7) * 3e6 + 60e6  # sums, what comes back, and some rows
