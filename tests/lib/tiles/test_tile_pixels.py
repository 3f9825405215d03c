"""Reading tiles: each pixel at its place, and damage where it is and nowhere else."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lib.tiles.test_tiling import make_spec
from workflow.lib.jobs.verdicts import BadPixels
from workflow.lib.tiles import tile_pixels
from workflow.lib.tiles.tile_pixels import (
    blur_score,
    choose_level,
    downsample,
    read_tile,
    read_tiles,
)
from workflow.lib.tiles.tiling import grid


@dataclass
class Level:
    width: int
    height: int
    downsample: float


class FakeReader:
    """A slide in memory with the manners of a SlideReader; `damage` is a box in level-0 px."""

    def __init__(self, pixels, shrinks=(1,), damage=None):
        self.images = [shrink(pixels, factor) for factor in shrinks]
        height, width = pixels.shape[:2]
        self.levels = [
            Level(
                image.shape[1],
                image.shape[0],
                (height / image.shape[0] + width / image.shape[1]) / 2,
            )
            for image in self.images
        ]
        self.damage = damage
        self.reads = []

    def read_half(self, origin_half_px, shape_half_px, level=0, *, rough=False):
        return None

    def read(self, origin_px0, shape_px, level=0):
        self.reads.append((level, *shape_px))
        step = self.levels[level].downsample
        top, left = (round(start / step) for start in origin_px0)
        if self.damage:
            low = np.array([top, left]) * step
            high = low + np.array(shape_px) * step
            if (low < self.damage[2:]).all() and (high > self.damage[:2]).all():
                raise BadPixels("damaged")
        image = self.images[level]
        region = np.full((*shape_px, 3), 255, np.uint8)
        found = image[max(top, 0) : top + shape_px[0], max(left, 0) : left + shape_px[1]]
        below, right = max(-top, 0), max(-left, 0)
        region[below : below + found.shape[0], right : right + found.shape[1]] = found
        return region


def shrink(pixels, factor):
    """Mean over blocks; rows and columns that do not fill one are cut off, as scanners do."""
    height, width = (side // factor for side in pixels.shape[:2])
    blocks = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def expected_tile(pixels, spec, position):
    """The area average of level 0, written out; white beyond the slide."""
    side = int(np.ceil(max(pixels.shape) + spec.tile_px * spec.scale)) + 2
    canvas = np.full((side, side, 3), 255.0)
    canvas[: pixels.shape[0], : pixels.shape[1]] = pixels
    weights = []
    for at in position:
        low = (at + np.arange(spec.tile_px)[:, None]) * spec.scale
        cell = np.arange(side)
        shared = np.minimum(low + spec.scale, cell + 1) - np.maximum(low, cell)
        weights.append(np.clip(shared, 0, None) / spec.scale)
    return np.einsum("ih,hwc,jw->ijc", weights[0], canvas, weights[1])


@settings(max_examples=40)
@given(
    height=st.integers(3, 60),
    width=st.integers(3, 60),
    scale=st.one_of(st.sampled_from([1.0, 2.0, 3.0]), st.floats(0.9, 6.0)),
    stride_px=st.integers(2, 7),
)
def test_every_tile_is_the_area_average_of_level_0(height, width, scale, stride_px):
    pixels = noise(height, width)
    spec = make_spec(
        height, width, slide_mpp=0.25, mpp=0.25 * scale, tile_px=7, stride_px=stride_px
    )
    positions = grid(spec)
    tiles = list(read_tiles(FakeReader(pixels), spec, positions))
    assert len(tiles) == len(positions)
    for tile, position in zip(tiles, positions, strict=True):
        assert tile.shape == (7, 7, 3)
        assert abs(tile - expected_tile(pixels, spec, position)).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.6, 1.13])
def test_a_coloured_pixel_of_level_0_lands_in_its_store_pixel(mpp):
    pixels = np.full((90, 110, 3), 255, np.uint8)
    spec = make_spec(90, 110, slide_mpp=0.25, mpp=mpp, tile_px=8)
    y, x = 61, 77
    pixels[y, x] = 0
    whole = np.zeros((spec.height_px + 8, spec.width_px + 8))
    for position in grid(spec):
        tile = read_tile(FakeReader(pixels), spec, position)
        top, left = position
        whole[top : top + 8, left : left + 8] = 255.0 - tile[..., 0]
    shares = np.zeros_like(whole)
    for i in range(int(y / spec.scale), int((y + 1) / spec.scale) + 1):
        for j in range(int(x / spec.scale), int((x + 1) / spec.scale) + 1):
            tall = min((i + 1) * spec.scale, y + 1) - max(i * spec.scale, y)
            wide = min((j + 1) * spec.scale, x + 1) - max(j * spec.scale, x)
            shares[i, j] = max(tall, 0) * max(wide, 0) / spec.scale**2
    assert shares.sum() * spec.scale**2 == pytest.approx(1)
    assert abs(whole - 255 * shares).max() <= 0.5


def test_a_tile_at_the_mpp_of_the_slide_is_copied_bit_by_bit():
    pixels = noise(100, 120)
    spec = make_spec(100, 120, slide_mpp=0.25, mpp=0.25, tile_px=32)
    for position, tile in zip(
        grid(spec), read_tiles(FakeReader(pixels), spec, grid(spec)), strict=True
    ):
        y, x = position
        assert np.array_equal(tile, pixels[y : y + 32, x : x + 32])


def test_a_tile_at_the_mpp_of_a_level_is_copied_bit_by_bit_although_sizes_were_rounded():
    pixels = noise(403, 209)  # 100.75 x 52.25 px at a quarter
    reader = FakeReader(pixels, shrinks=(1, 4))
    assert reader.levels[1].downsample != 4
    spec = make_spec(403, 209, slide_mpp=0.25, mpp=1.0, tile_px=16)
    position = np.array([[80, 32]])
    (tile,) = read_tiles(reader, spec, position)
    assert np.array_equal(tile, reader.images[1][80:96, 32:48])
    assert {level for level, *_ in reader.reads} == {1}


def test_the_best_level_is_the_coarsest_that_is_fine_enough():
    levels = [Level(1000, 800, 1.0), Level(500, 400, 2.0), Level(124, 100, 8.03)]
    chosen = [choose_level(levels, scale) for scale in (0.9, 1.0, 1.99, 2.0, 7.9, 8.2, 50)]
    assert chosen == [0, 0, 0, 1, 1, 2, 2]
    assert choose_level(levels[::-1][:1] + levels[:1], 3.0) == 1


def test_downsamples_are_whole_where_sizes_are_rounded_and_kept_where_not():
    levels = [Level(2220, 2967, 1.0), Level(555, 741, 4.002), Level(277, 370, 8.017)]
    assert [downsample(levels, i) for i in range(3)] == [1.0, 4.0, 8.0]
    assert downsample([Level(1000, 1000, 1.0), Level(400, 400, 2.5)], 1) == 2.5


def test_neighbours_are_resampled_together_and_far_tiles_are_not():
    spec = make_spec(192, 1920, slide_mpp=0.25, mpp=0.75, tile_px=64)
    reader = FakeReader(noise(192, 1920))
    list(read_tiles(reader, spec, grid(spec)))
    assert reader.reads == [(0, 192, 1920)]
    reader.reads.clear()
    list(read_tiles(reader, spec, grid(spec)[[0, 1, 5, 6, 9]]))
    assert reader.reads == [(0, 192, 384), (0, 192, 384), (0, 192, 192)]


def test_tiles_that_are_not_resampled_are_read_one_by_one():
    spec = make_spec(64, 192, tile_px=64)
    reader = FakeReader(noise(64, 192))
    list(read_tiles(reader, spec, grid(spec)))
    assert reader.reads == [(0, 64, 64)] * 3


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.7])
def test_what_is_held_does_not_grow_with_the_slide_or_the_tile(monkeypatch, scale):
    pixels = noise(150, 900)
    spec = make_spec(150, 900, slide_mpp=0.25, mpp=0.25 * scale, tile_px=30, stride_px=15)
    plain = list(read_tiles(FakeReader(pixels), spec, grid(spec)))
    for region_px in (600, 20_000):  # less than a tile; a few tiles
        monkeypatch.setattr(tile_pixels, "REGION_PX", region_px)
        reader = FakeReader(pixels)
        bounded = list(read_tiles(reader, spec, grid(spec)))
        assert max(height * width for _, height, width in reader.reads) <= 1.2 * region_px
        assert abs(np.array(bounded).astype(int) - plain).max() <= 1


def test_damage_costs_the_tiles_that_it_touches_and_no_other():
    pixels = noise(128, 320)
    spec = make_spec(128, 320, tile_px=64)
    reader = FakeReader(pixels, damage=(10, 100, 20, 140))  # columns 100 to 140: tiles 1 and 2
    tiles = list(read_tiles(reader, spec, grid(spec)))
    assert [i for i, tile in enumerate(tiles) if tile is None] == [1, 2]
    for (y, x), tile in zip(grid(spec), tiles, strict=True):
        assert tile is None or np.array_equal(tile, pixels[y : y + 64, x : x + 64])
    with pytest.raises(BadPixels):
        read_tile(reader, spec, (0, 64))


def test_no_positions_read_nothing():
    reader = FakeReader(noise(10, 10))
    assert list(read_tiles(reader, make_spec(10, 10), np.zeros((0, 2), np.int64))) == []
    assert reader.reads == []


def test_blur_score_by_hand_and_in_order():
    spike = np.zeros((5, 5, 3), np.uint8)
    spike[2, 2] = 10  # Laplacian: -40 once, 10 four times, sum 0 over 25 pixels
    assert blur_score(spike) == pytest.approx((40**2 + 4 * 10**2) / 25)
    assert blur_score(np.full((8, 8, 3), 200, np.uint8)) == 0
    sharp = noise(64, 64)
    assert blur_score(sharp) > blur_score(cv2.GaussianBlur(sharp, (0, 0), 1.0)) > 0
