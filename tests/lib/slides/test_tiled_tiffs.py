"""Stored tiles decoded past OpenSlide: its pixels, its failures, and the file that it is."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from tests.lib.mutators import aperio, damage_tiles, drop_tiles, good, picture, point_beyond
from tests.lib.tiles.test_tiling import make_spec
from workflow.lib.jobs.verdicts import BadPixels
from workflow.lib.slides import jpeg_tiles, tiled_tiffs
from workflow.lib.slides.jpeg_tiles import splice
from workflow.lib.slides.resampling import resample
from workflow.lib.slides.slides import SlideReader, open_reader
from workflow.lib.slides.tiled_tiffs import read_directly
from workflow.lib.tiles.tile_pixels import read_tiles
from workflow.lib.tiles.tiling import grid

REAL = Path(__file__).parents[3] / "../shared/data/slides/CMU-1-Small-Region.svs"
REGIONS = [(0, 0, 64, 64), (64, 128, 64, 64), (3, 5, 64, 64), (0, 0, 300, 420), (250, 300, 50, 120)]
OUTSIDE = [(-3, -5, 40, 40), (280, 400, 64, 64), (500, 0, 8, 8)]


def svs(path: Path) -> Path:
    """An Aperio slide of YCbCr tiles."""
    return aperio(good(path))


def rgb_tiles(path: Path) -> Path:
    """An Aperio slide whose JPEG tiles hold RGB without a word on it, as the scanners write it."""
    slide = svs(path)
    with tifffile.TiffFile(slide) as tiff:
        said = tiff.pages[0].description
    pixels = picture()
    padded = np.pad(pixels, ((0, 20), (0, 28), (0, 0)), mode="edge")
    tiles = (
        _stripped(np.ascontiguousarray(padded[y : y + 64, x : x + 64]))
        for y in range(0, 320, 64)
        for x in range(0, 448, 64)
    )
    tifffile.imwrite(
        slide,
        tiles,
        shape=pixels.shape,
        dtype="uint8",
        tile=(64, 64),
        photometric="rgb",
        compression="jpeg",
        description=said,
        metadata=None,
    )
    with tifffile.TiffFile(slide, mode="r+b") as tiff:  # it took the JPEG for YCbCr
        tiff.pages[0].tags["PhotometricInterpretation"].overwrite(2)
    return slide


def _stripped(tile: np.ndarray) -> bytes:
    # The numbers of RGB themselves, without the segment that would say so.
    data = imagecodecs.jpeg8_encode(tile, level=90, colorspace="RGB", outcolorspace="RGB")
    start, spliced = splice(data, b"\xff\xd8", (64, 64))
    return spliced + data[len(start) :]


def fast(slide: Path) -> SlideReader:
    return open_reader(slide, mpp=0.5, through=read_directly)


def read(slide: Path, regions: list, level: int = 0) -> tuple[list, list]:
    """(pixels or None, stored) of regions by OpenSlide, and by the tiles."""
    found = []
    for reader in (open_reader(slide, mpp=0.5), fast(slide)):
        with reader:
            rows = []
            for y, x, height, width in regions:
                try:
                    rows.append(reader.read_stored((y, x), (height, width), level))
                except BadPixels as error:
                    rows.append((str(error), reader.bad_reads))
            found.append(rows)
    return found


def same(slide: Path, regions: list, level: int = 0) -> list:
    judged, direct = read(slide, regions, level)
    for region, one, other in zip(regions, judged, direct, strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a, b), (slide.name, region)
    return direct


MAKERS = [good, svs, rgb_tiles, lambda path: good(path, subsampling=(1, 1))]


@pytest.mark.parametrize("make", MAKERS)
def test_regions_are_those_of_openslide_bit_by_bit(make: object, tmp_path: Path) -> None:
    slide = make(tmp_path / "slide.tif")
    with fast(slide) as reader:
        assert reader.backend == "libjpeg-turbo"
    same(slide, REGIONS + OUTSIDE)


def test_colours_are_those_of_the_source(tmp_path: Path) -> None:
    for make in (good, svs, rgb_tiles):
        with fast(make(tmp_path / "slide.tif")) as reader:
            found = reader.read((0, 0), (300, 420)).astype(int)
        assert abs(found.mean((0, 1)) - picture().mean((0, 1))).max() < 2


def test_levels_are_read_and_places_between_their_pixels_left_to_openslide(tmp_path: Path) -> None:
    slide = good(tmp_path / "slide.tif")
    same(slide, [(0, 0, 64, 64), (128, 128, 64, 64), (20, 6, 40, 40), (3, 5, 40, 40)], level=1)
    same(slide, [(0, 0, 20, 20), (101, 77, 20, 20)], level=3)


def test_openslide_is_not_asked_for_what_the_tiles_give(tmp_path: Path) -> None:
    with fast(good(tmp_path / "slide.tif")) as reader:
        first = reader.read((64, 64), (64, 64))
        reader._file._judge.read = None  # a call would be an error
        assert np.array_equal(reader.read((64, 64), (64, 64)), first)
        assert np.array_equal(reader.read((60, 60), (68, 68))[4:, 4:], first)
        corner, stored = reader.read_stored((290, 400), (20, 30))
        assert stored.sum() == 10 * 20 and (corner[~stored] == 255).all()
        assert reader.bad_reads == 0


@pytest.mark.parametrize("harm", [damage_tiles, drop_tiles])
@pytest.mark.parametrize("make", [good, svs])
def test_bad_and_missing_tiles_are_what_they_are_to_openslide(
    make: object, harm: object, tmp_path: Path
) -> None:
    slide = harm(make(tmp_path / "slide.tif"), tiles=[9])
    grid = [(y, x, min(64, 300 - y), min(64, 420 - x)) for y in range(0, 300, 64) for x in (0, 128)]
    found = same(slide, [*grid, (0, 0, 300, 420)])
    odd = [region for region, row in zip(grid, found, strict=False) if isinstance(row[0], str)]
    assert odd == ([(64, 128, 64, 64)] if harm is damage_tiles else [])


def test_a_tile_beyond_the_file_is_openslides_to_judge(tmp_path: Path) -> None:
    same(point_beyond(good(tmp_path / "slide.tif"), tile=9), REGIONS)


def test_flipped_bits_pass_or_fail_as_they_do_for_openslide(tmp_path: Path) -> None:
    slide = good(tmp_path / "slide.tif")
    whole = slide.read_bytes()
    with tifffile.TiffFile(slide) as tiff:
        start, count = tiff.pages[0].dataoffsets[16], tiff.pages[0].databytecounts[16]
    refused = 0
    for place in np.random.default_rng(0).integers(start, start + count, 60):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(place) % 8
        slide.write_bytes(broken)
        refused += isinstance(same(slide, [(128, 128, 64, 64)])[0][0], str)
    assert 0 < refused < 60


def test_a_level_whose_colours_differ_is_left_to_openslide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpeg_tiles, "_YCBCR", 2)
    monkeypatch.setattr(jpeg_tiles, "_RGB", 6)  # every tile is now taken for the other
    slide = good(tmp_path / "slide.tif")
    same(slide, REGIONS)
    with fast(slide) as reader:
        assert reader.backend == "openslide"


def test_other_slides_stay_with_openslide(tmp_path: Path) -> None:
    with fast(good(tmp_path / "slide.tif", compression=None)) as reader:
        assert reader.backend == "openslide"


def test_neighbours_share_decoded_tiles_within_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiled_tiffs, "_CACHE_BYTES", 4 * 64 * 64 * 3)
    with fast(good(tmp_path / "slide.tif")) as reader:
        reader.read((0, 0), (64, 64))
        tiles, decoded = reader._file._levels[0], []
        inner = tiles.decode
        tiles.decode = lambda index: decoded.append(index) or inner(index)
        for x in (10, 20, 74):
            reader.read((0, x), (64, 64))
        assert decoded == [0, 1, 2]
        reader.read((1, 1), (200, 200))
        assert len(reader._file._cache) == 4


@pytest.mark.parametrize("make", MAKERS)
def test_halves_are_means_of_the_pixels_of_openslide(make: object, tmp_path: Path) -> None:
    slide = make(tmp_path / "slide.tif")
    with fast(slide) as reader, open_reader(slide, mpp=0.5) as judge:
        for y, x, height, width in [(0, 0, 32, 32), (0, 0, 150, 210), (7, 45, 90, 33)]:
            whole = judge.read((2 * y, 2 * x), (2 * height, 2 * width))
            half = reader.read_half((y, x), (height, width))
            assert np.array_equal(half, resample(whole, (0, 0), 2.0, (height, width)))
        assert judge.read_half((0, 0), (8, 8)) is None


def test_halves_that_tiles_do_not_give_are_left_to_read(tmp_path: Path) -> None:
    with fast(damage_tiles(good(tmp_path / "slide.tif"), tiles=[9])) as reader:
        assert reader.read_half((32, 0), (32, 32)) is not None
        for y, x, height, width in [(32, 64, 32, 32), (-1, 0, 8, 8), (0, 200, 8, 11), (0, 0, 0, 4)]:
            assert reader.read_half((y, x), (height, width)) is None
        assert reader.bad_reads == 0


@pytest.mark.parametrize("scale", [1.0, 2.0, 1.37])
def test_tiles_are_the_same_with_and_without(scale: float, tmp_path: Path) -> None:
    slide = damage_tiles(svs(tmp_path / "slide.tif"), tiles=[9])
    spec = make_spec(300, 420, slide_mpp=0.5, mpp=0.5 * scale, tile_px=48, stride_px=40)
    with fast(slide) as reader, open_reader(slide, mpp=0.5) as judge:
        found, wanted = (list(read_tiles(r, spec, grid(spec))) for r in (reader, judge))
    assert [tile is None for tile in found] == [tile is None for tile in wanted]
    assert any(tile is None for tile in found)
    for one, other in zip(found, wanted, strict=True):
        assert one is other is None or np.array_equal(one, other)


@pytest.mark.skipif(not REAL.is_file(), reason="the real slide CMU-1-Small-Region.svs is not here")
def test_a_real_aperio_slide_is_openslides_bit_by_bit() -> None:
    found = [(y, x, 240, 240) for y in (0, 960, 2640) for x in (0, 720, 1680)]
    same(REAL, [*found, (100, 100, 500, 700), (2700, 1900, 267, 320)])
