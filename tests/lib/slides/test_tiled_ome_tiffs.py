"""OME-TIFF of JPEG tiles decoded past tifffile: its pixels on every level, its failures."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.lib.mutators import damage_tiles, drop_tiles, good, ome, picture
from tests.lib.slides.test_tiled_tiffs import OUTSIDE, REGIONS, fast, same
from workflow.lib.slides.resampling import resample
from workflow.lib.slides.slides import open_reader

HALF = [(0, 0, 64, 64), (128, 128, 64, 64), (6, 10, 40, 60), (3, 5, 40, 40), (0, 0, 150, 210)]


def jpegs(folder: Path) -> Path:
    return ome(good(folder / "slide.tif"), compression="jpeg")


def called_rgb(folder: Path) -> Path:
    """YCbCr that the TIFF calls RGB; the tiles have a JFIF segment, which says that it is not."""
    slide = jpegs(folder)
    with tifffile.TiffFile(slide, mode="r+b") as tiff:
        for level in tiff.series[0].levels:
            level.keyframe.tags["PhotometricInterpretation"].overwrite(2)
    return slide


@pytest.mark.parametrize("make", [jpegs, called_rgb])
def test_regions_of_each_level_are_those_of_tifffile(make: object, tmp_path: Path) -> None:
    slide = make(tmp_path)
    with fast(slide) as reader, open_reader(slide, mpp=0.5) as judge:
        assert (reader.backend, judge.backend) == ("libjpeg-turbo", "tifffile")
        assert (reader.vendor, reader.levels) == (judge.vendor, judge.levels)
        assert reader.jpeg_levels == {0, 1}
        found = reader.read((0, 0), (300, 420)).astype(int)
    assert abs(found.mean((0, 1)) - picture().mean((0, 1))).max() < 2
    same(slide, REGIONS + OUTSIDE)
    same(slide, HALF, level=1)


def test_tifffile_is_not_asked_for_what_the_tiles_of_subifds_give(tmp_path: Path) -> None:
    with fast(jpegs(tmp_path)) as reader:
        reader._file._judge.read = None  # a call would be an error
        whole = reader.read((0, 0), (150, 210), level=1)
        half = reader.read_half((0, 0), (75, 105), level=1)
        assert np.array_equal(half, resample(whole, (0, 0), 2.0, (75, 105)))
        jpeg, tile = reader.read_jpeg((64, 64), level=1)
        assert np.array_equal(tile, whole[64:128, 64:128])
        assert jpeg.startswith(b"\xff\xd8") and jpeg.endswith(b"\xff\xd9")


@pytest.mark.parametrize("harm", [damage_tiles, drop_tiles])
def test_bad_and_missing_tiles_are_what_they_are_to_tifffile(harm: object, tmp_path: Path) -> None:
    slide = harm(jpegs(tmp_path), tiles=[9])
    found = same(slide, [(64, 64, 64, 64), (64, 128, 64, 64), (0, 0, 300, 420)])
    assert [isinstance(row[0], str) for row in found] == [False, *[harm is damage_tiles] * 2]


def test_other_tiles_stay_with_tifffile(tmp_path: Path) -> None:
    with fast(ome(good(tmp_path / "slide.tif"), compression="zlib")) as reader:
        assert reader.backend == "tifffile"
