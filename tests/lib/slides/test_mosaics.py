"""Mosaics: every patch lies where it is said to, exactly, and the rest is blank."""

import json

import numpy as np
import pytest
import tifffile

from workflow.lib.slides.mosaics import columns_of, mosaic_area, write_mosaic
from workflow.lib.slides.truth import read_mask

SIDE = 32


def patches(count, colour=True):
    shape = (SIDE, SIDE, 3) if colour else (SIDE, SIDE)
    return np.random.default_rng(count).integers(0, 2 + 200 * colour, (count, *shape), np.uint8)


@pytest.mark.parametrize("count", [1, 2, 4, 5, 7])
@pytest.mark.parametrize("colour", [True, False])
def test_patches_are_found_again_as_they_were(tmp_path, count, colour):
    given = patches(count, colour)
    write_mosaic(tmp_path / "m.tif", iter(given), count=count, side_px=SIDE)
    found, columns = tifffile.imread(tmp_path / "m.tif"), columns_of(count)
    assert found.shape[1] == columns * SIDE and found.dtype == np.uint8
    for cell in range(found.shape[0] // SIDE * columns):
        y, x = SIDE * (cell // columns), SIDE * (cell % columns)
        expected = given[cell] if cell < count else np.full_like(given[0], 255 * colour)
        assert (found[y : y + SIDE, x : x + SIDE] == expected).all()


def test_the_area_is_that_of_the_patches(tmp_path):
    for count in (1, 2, 3, 4, 5, 9, 11):
        columns = columns_of(count)
        rows = -(-count // columns)
        (tmp_path / "a.geojson").write_text(mosaic_area(count, SIDE))
        shape = (rows * SIDE, columns * SIDE)
        mask = read_mask(tmp_path / "a.geojson", shape_px0=shape, out_shape=(rows, columns))
        assert mask.ravel().tolist() == [1] * count + [0] * (rows * columns - count)
    assert len(json.loads(mosaic_area(4, SIDE))["features"]) == 1


def test_too_few_patches_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match="3 patches came, and a mosaic of 4 was begun"):
        write_mosaic(tmp_path / "m.tif", iter(patches(3)), count=4, side_px=SIDE)
    assert not list(tmp_path.iterdir())
