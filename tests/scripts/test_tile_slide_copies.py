"""Tiles that the slide stores just so are its bytes, and all others are as without copying."""

import logging
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from tests.lib.mutators import _edit_tag, damage_tiles, drop_tiles, good, picture
from tests.lib.slides.test_tiled_tiffs import REAL, rgb_tiles, svs
from tests.scripts.test_tile_slide import FULL, run
from tests.synthetic import write_slide
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.units import manifest
from workflow.lib.slides.slides import open_reader
from workflow.lib.tiles.stores import Tiles

MAKERS = [good, svs, rgb_tiles, lambda path: good(path, subsampling=(1, 1))]
ACROSS, DOWN, ALL = 6, 4, 35  # whole tiles of 64 px in 420 x 300, and those of the grid


def cut(folder: Path, file: Path, codec: str = "copy", **changed: object) -> tuple[Path, Tiles]:
    slide = Slide("a", file, "p", "normal")
    unit = run(folder / codec, [slide], {"a": FULL}, codec=codec, **changed) / "a"
    return unit, Tiles(unit / "tiles.zarr")


def whole(tiles: Tiles) -> np.ndarray:
    """Which tiles begin where a stored one does."""
    return (tiles.positions_px % tiles.attrs["tile_px"] == 0).all(axis=1)


@pytest.mark.parametrize("make", MAKERS)
def test_copies_are_the_pixels_of_openslide_bit_by_bit(make: object, tmp_path: Path) -> None:
    file = make(tmp_path / "slide.tif")
    unit, tiles = cut(tmp_path, file)
    facts = manifest(unit)["facts"]
    assert (facts["codec"], facts["copied"]) == ("copy", ACROSS * DOWN)
    assert facts["why_not_copied"] is None and facts["kept"] == ALL
    plain, own = zarr.open_group(str(unit / "tiles.zarr"), mode="r")["pixels"], whole(tiles)
    assert own.sum() == ACROSS * DOWN
    with open_reader(file, mpp=0.5) as judge:
        for row, position in enumerate(tiles.positions_px):
            seen = judge.read(position, (64, 64))
            apart = abs(tiles.pixels(row).astype(int) - seen)
            assert apart.max() == 0 if own[row] else apart.mean() < 5
            assert np.array_equal(plain[row], tiles.pixels(row))
    _, exact = cut(tmp_path, file, "lossless")
    for name in ("origins", "positions_px", "tissue", "blur", "bad"):
        assert np.array_equal(getattr(tiles, name), getattr(exact, name)), name


def test_the_bytes_of_the_image_are_those_of_the_slide(tmp_path: Path) -> None:
    file = svs(tmp_path / "slide.tif")
    with tifffile.TiffFile(file) as tiff:
        places = zip(tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts, strict=True)
    stored = [file.read_bytes()[start : start + count] for start, count in places]
    unit, tiles = cut(tmp_path, file)
    shard = (unit / "tiles.zarr/pixels/c/0/0/0/0").read_bytes()
    for row, column in (tiles.positions_px[whole(tiles)] // 64).tolist():
        tile = stored[row * 7 + column]
        assert tile[tile.index(b"\xff\xda") :] in shard


def test_tiles_of_a_coarser_level_are_copied(tmp_path: Path) -> None:
    file = good(tmp_path / "slide.tif")
    unit, tiles = cut(tmp_path, file, mpp=1.0)  # of 210 x 150 px
    assert manifest(unit)["facts"]["copied"] == 3 * 2
    with open_reader(file, mpp=0.5) as judge:
        for row in np.flatnonzero(whole(tiles)):
            seen = judge.read(tiles.origins[row], (64, 64), level=1)
            assert np.array_equal(tiles.pixels(row), seen)


@pytest.mark.parametrize(
    ("changed", "options", "reason"),
    [
        ({"mpp": 0.6}, {}, "its levels have 0.5, 1, 2, 4 um per pixel, and tiles 0.6"),
        ({"stride_px": 32}, {}, "tiles overlap (stride_px 32, tile_px 64), its own do not"),
        ({"tile_px": 128, "stride_px": 128}, {},
         "its own tiles are 64 x 64 px, and tile_px is 128"),
        ({}, {"compression": None}, "its own tiles are no JPEGs that can be copied"),
    ],
)  # fmt: skip
def test_a_slide_that_does_not_fit_is_encoded_as_ever_and_says_why(
    changed: dict, options: dict, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = good(tmp_path / "slide.tif", **options)
    with caplog.at_level(logging.INFO, logger="workflow.scripts.tile_slide"):
        unit, _ = cut(tmp_path, file, **changed)
    found = manifest(unit)
    assert found["facts"]["codec"] == "jpeg" and found["facts"]["copied"] == 0
    assert found["facts"]["why_not_copied"] == reason
    said = f"a: 0 tiles are copied from it, the others encoded at quality 90: {reason}."
    assert said in caplog.messages
    usual, _ = cut(tmp_path, file, "jpeg", **changed)
    assert found["files"] == manifest(usual)["files"]


@pytest.mark.parametrize("harm", [damage_tiles, drop_tiles])
def test_bad_and_missing_tiles_are_what_they_are_without_copying(
    harm: object, tmp_path: Path
) -> None:
    file = harm(good(tmp_path / "slide.tif", pyramid=False), tiles=[9])
    (unit, tiles), (_, exact) = (cut(tmp_path, file, codec) for codec in ("copy", "lossless"))
    facts = manifest(unit)["facts"]
    assert facts["copied"] == ACROSS * DOWN - 1
    assert facts["bad"] == exact.bad.sum() == (harm is damage_tiles)
    assert np.array_equal(tiles.bad, exact.bad) and np.array_equal(tiles.blur, exact.blur)
    white = (tiles.batch(range(ALL)) == 255).all(axis=(1, 2, 3))
    assert np.flatnonzero(white).tolist() == [9]


def test_a_stored_tile_that_reaches_over_the_edge_is_not_copied(tmp_path: Path) -> None:
    write_slide(tmp_path / "a.tif", picture(40, 50), mpp=0.5, tile_px=64, pyramid=False)
    unit, tiles = cut(tmp_path, tmp_path / "a.tif")
    assert manifest(unit)["facts"]["copied"] == 0 and len(tiles) == 1
    assert (tiles.pixels(0)[56:] > 250).all()  # white, not what the slide stores there


def test_a_slide_that_lies_about_its_colours_is_not_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow.lib.slides.jpeg_tiles._YCBCR", 2)
    monkeypatch.setattr("workflow.lib.slides.jpeg_tiles._RGB", 6)  # all are taken for the other
    unit, tiles = cut(tmp_path, good(tmp_path / "slide.tif"))
    assert manifest(unit)["facts"]["copied"] == 0
    mean = tiles.batch(range(ALL)).mean((0, 1, 2))
    assert abs(mean - picture().mean((0, 1))).max() < 8


def test_words_before_and_behind_the_image_are_not_copied(tmp_path: Path) -> None:
    file = svs(tmp_path / "slide.tif")
    with tifffile.TiffFile(file) as tiff:
        start, count = tiff.pages[0].dataoffsets[9], tiff.pages[0].databytecounts[9]
    data = file.read_bytes()
    tile, end = data[start : start + count], len(data)
    said = b"a canary of a name"
    comment = b"\xff\xfe" + (len(said) + 2).to_bytes(2, "big") + said
    tile = tile[:2] + comment + tile[2:] + said + b"\xff\xd9"
    file.write_bytes(data + tile)
    _edit_tag(file, "TileOffsets", [9], end, 0)
    _edit_tag(file, "TileByteCounts", [9], len(tile), 0)
    unit, _ = cut(tmp_path, file)
    assert manifest(unit)["facts"]["copied"] == ACROSS * DOWN
    assert b"canary" in file.read_bytes()
    for written in unit.rglob("*"):
        assert written.is_dir() or b"canary" not in written.read_bytes()


@pytest.mark.skipif(not REAL.is_file(), reason="the real slide CMU-1-Small-Region.svs is not here")
def test_a_real_aperio_slide_is_copied_bit_by_bit(tmp_path: Path) -> None:
    unit, tiles = cut(tmp_path, REAL, mpp=0.499, tile_px=240, stride_px=240)
    assert manifest(unit)["facts"]["copied"] == 9 * 12
    with open_reader(REAL, mpp=0.499) as judge:
        for row in np.flatnonzero(whole(tiles)):
            seen = judge.read(tiles.positions_px[row], (240, 240))
            assert np.array_equal(tiles.pixels(row), seen)
