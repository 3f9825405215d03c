"""JPEG tiles decoded at half their size: only where that is near enough, and never unseen."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.lib.mutators import damage_tiles, good
from tests.lib.tiles.test_tiling import make_spec
from workflow.lib.slides.slides import SlideReader, open_reader
from workflow.lib.slides.tiled_tiffs import read_directly
from workflow.lib.tiles.tile_pixels import read_tiles
from workflow.lib.tiles.tiling import grid

ALONE, SCALED = "libjpeg-turbo", "libjpeg-turbo at half size"


def opened(slide: Path, half_db: float) -> SlideReader:
    return open_reader(slide, mpp=0.5, through=partial(read_directly, half_db=half_db))


def test_halves_are_near_the_mean_where_they_may_be_rough(tmp_path: Path) -> None:
    slide = good(tmp_path / "slide.tif", subsampling=(1, 1))
    with opened(slide, 0) as exact, opened(slide, 25) as rough, opened(slide, 99) as strict:
        halves = [reader.read_half((7, 45), (90, 33)) for reader in (exact, rough, strict)]
        assert 25 < cv2.PSNR(halves[0], halves[1]) < 60
        assert np.array_equal(halves[0], halves[2])
        assert abs(halves[0].mean((0, 1)) - halves[1].mean((0, 1))).max() < 0.5
        assert [r.backend for r in (exact, rough, strict)] == [ALONE, SCALED, ALONE]
        assert exact.read_half((0, 0), (8, 8), rough=True) is None
        assert rough.read_half((0, 0), (8, 8), rough=True) is not None


@pytest.mark.parametrize("scale", [1.0, 1.9, 2.0, 2.625])
def test_tiles_are_made_of_them_from_twice_the_mpp_on(scale: float, tmp_path: Path) -> None:
    slide = good(tmp_path / "slide.tif", subsampling=(1, 1), pyramid=False)
    spec = make_spec(300, 420, slide_mpp=0.5, mpp=0.5 * scale, tile_px=48)
    with opened(slide, 0) as exact, opened(slide, 25) as rough:
        wanted, found = (np.array(list(read_tiles(r, spec, grid(spec)))) for r in (exact, rough))
        assert rough.backend == (SCALED if scale >= 2 else ALONE)
    assert np.array_equal(wanted, found) == (scale < 2)
    assert cv2.PSNR(wanted.reshape(-1, 48, 3), found.reshape(-1, 48, 3)) > 30
    shifted = np.roll(found, 1, axis=2)  # what a wrong place by one pixel would cost
    assert abs(wanted - found.astype(int)).mean() < abs(wanted - shifted.astype(int)).mean()


def test_a_damaged_tile_has_no_half(tmp_path: Path) -> None:
    with opened(damage_tiles(good(tmp_path / "slide.tif"), tiles=[9]), 20) as reader:
        assert reader.read_half((32, 64), (32, 32)) is None
        assert reader.read_half((32, 0), (32, 32)) is not None
        assert reader.backend == SCALED
