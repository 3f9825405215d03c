import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.lib.mutators import (
    aperio,
    damage_tiles,
    drop_tiles,
    good,
    ome,
    picture,
    planes,
    striped,
    transparent,
)
from workflow.lib.jobs.verdicts import BadPixels, Quarantine
from workflow.lib.slides.slides import Level, SlideReader, open_reader

ROOT = Path(__file__).parents[3]
REAL = ROOT / "../shared/data/slides"
PIXELS = picture()
TILES = [(y, x) for y in range(0, 300, 64) for x in range(0, 420, 64)]


def lossless(folder: Path, **options: object) -> Path:
    return good(folder / "slide.tif", compression=None, **options)


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SlideReader]]:
    """The same pixels behind every library."""
    folder = tmp_path_factory.mktemp("slides")
    Image.fromarray(PIXELS).save(folder / "flat.png")
    (folder / "other").mkdir()
    opened = {
        "openslide": open_reader(lossless(folder)),
        "tifffile": open_reader(ome(lossless(folder / "other"))),
        "strips": open_reader(striped(folder / "strips.tif")),
        "image": open_reader(folder / "flat.png", mpp=0.5),
    }
    yield opened
    for reader in opened.values():
        reader.close()


def test_every_library_says_the_same_of_the_same_slide(readers: dict) -> None:
    for reader in readers.values():
        assert (reader.height_px0, reader.width_px0) == (300, 420)
        assert reader.mpp == pytest.approx(0.5)
        assert reader.levels[0] == Level(420, 300, 1.0)
    assert [readers[name].backend for name in readers] == [
        *("openslide", "tifffile", "tifffile", "image")
    ]
    assert [readers[name].mpp_source for name in readers] == [
        *("tiff tags", "ome", "tiff tags", "sheet")
    ]
    assert [len(readers[name].levels) for name in readers] == [4, 2, 1, 1]


@settings(max_examples=60)
@given(st.integers(-80, 320), st.integers(-80, 440), st.integers(1, 150), st.integers(1, 150))
def test_any_region_is_the_crop_with_white_around(
    readers: dict, y: int, x: int, height: int, width: int
) -> None:
    canvas = np.full((700, 800, 3), 255, np.uint8)
    canvas[100:400, 100:520] = PIXELS
    expected = canvas[y + 100 : y + 100 + height, x + 100 : x + 100 + width]
    for name, reader in readers.items():
        found = reader.read((y, x), (height, width))
        assert found.dtype == np.uint8 and found.flags.c_contiguous
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_levels_are_read_at_their_own_scale(readers: dict) -> None:
    assert readers["openslide"].levels[2] == Level(105, 75, 4.0)
    half = cv2.resize(PIXELS, (210, 150), interpolation=cv2.INTER_AREA)
    found = readers["openslide"].read((100, 60), (40, 50), level=1)
    np.testing.assert_array_equal(found, half[50:90, 30:80])
    found = readers["tifffile"].read((100, 60), (40, 50), level=1)
    np.testing.assert_array_equal(found, PIXELS[::2, ::2][50:90, 30:80])


@pytest.mark.parametrize("level", [-1, 4])
def test_a_level_that_is_not_there_is_refused(readers: dict, level: int) -> None:
    with pytest.raises(ValueError, match="it has 4"):
        readers["openslide"].read((0, 0), (8, 8), level=level)


def test_a_mistake_of_the_caller_is_no_damage_of_the_slide(readers: dict) -> None:
    for reader in readers.values():
        with pytest.raises(TypeError):
            reader.read((0.5, 0), (8, 8))
        with pytest.raises(ValueError, match="cannot be read"):
            reader.read((0, 0), (8, -1))
        assert reader.read(np.array([5, 7]), (np.int64(8), 0)).shape == (8, 0, 3)
        assert reader.bad_reads == 0


@pytest.mark.parametrize("make", [lossless, lambda folder: ome(lossless(folder))])
def test_a_tile_without_bytes_is_white_and_said_to_be_missing(make: object, tmp_path: Path) -> None:
    y, x = TILES[9]
    expected = np.ones((300, 420), bool)
    expected[y : y + 64, x : x + 64] = False
    with open_reader(drop_tiles(make(tmp_path), tiles=[9])) as reader:
        pixels, stored = reader.read_stored((0, 0), (300, 420))
    np.testing.assert_array_equal(stored, expected)
    np.testing.assert_array_equal(pixels[stored], PIXELS[expected])
    assert (pixels[~stored] == 255).all()


def test_transparent_pixels_show_the_background(tmp_path: Path) -> None:
    with open_reader(transparent(tmp_path / "slide.tif")) as reader:
        assert (reader.read((0, 0), (300, 420)) == 255).all()
    half = np.full((10, 10, 4), (100, 0, 200, 128), np.uint8)
    Image.fromarray(half).save(tmp_path / "half.png")
    with open_reader(tmp_path / "half.png", mpp=0.5) as reader:
        # 100 * 128/255 + 255 * 127/255 = 177.2, and so on
        assert reader.read((2, 2), (1, 1)).tolist() == [[[177, 127, 227]]]


def test_the_background_colour_ends_where_the_slide_ends(tmp_path: Path) -> None:
    class Empty:
        sizes, tile_shapes, background = ((20, 30),), ((8, 8),), (1, 2, 3)
        backend, vendor, magnification, mislabelled_ycbcr = "stub", "stub", None, False

        def read(self, origin: tuple, shape: tuple, level: int) -> np.ndarray:
            return np.zeros((*shape, 4), np.uint8)

    reader = SlideReader(tmp_path, Empty(), mpp=1.0, mpp_source="sheet", max_bad_reads=1)
    region = reader.read((18, -1), (4, 3))
    assert (region[:2, 1:] == (1, 2, 3)).all()
    assert (region[2:] == 255).all() and (region[:, 0] == 255).all()


@pytest.mark.parametrize("make", [good, lambda path: aperio(good(path))])
def test_one_bad_tile_costs_that_tile_only(make: object, tmp_path: Path) -> None:
    with open_reader(make(tmp_path / "slide.tif")) as reader:
        whole = {origin: reader.read(origin, (64, 64)) for origin in TILES}
    slide = damage_tiles(make(tmp_path / "slide.tif"), tiles=[9])
    bad = []
    with open_reader(slide) as reader:
        for origin in TILES:
            try:
                np.testing.assert_array_equal(reader.read(origin, (64, 64)), whole[origin])
            except BadPixels as error:
                bad.append((origin, str(error)))
    y, x = TILES[9]
    said = f"{slide.name}: level 0 cannot be decoded at y = {y}, x = {x} px0."
    assert bad == [(TILES[9], said)] and reader.bad_reads == 1


def test_the_reader_gives_up_after_too_many_bad_tiles(tmp_path: Path) -> None:
    slide = damage_tiles(good(tmp_path / "slide.tif"))
    with open_reader(slide, max_bad_reads=3) as reader:
        for origin in TILES[:3]:
            with pytest.raises(BadPixels):
                reader.read(origin, (64, 64))
        with pytest.raises(Quarantine, match="E_TILE"):
            reader.read(TILES[3], (64, 64))


@pytest.mark.parametrize("make", [good, lambda path: ome(good(path), compression="zlib")])
def test_a_slide_that_changes_while_it_is_read_is_told_from_a_bad_tile(
    make: object, tmp_path: Path
) -> None:
    slide = make(tmp_path / "slide.tif")
    with open_reader(slide) as reader:
        os.truncate(slide, 2000)
        with pytest.raises(Quarantine, match="E_IO.*changed while it was read"):
            [reader.read(origin, (64, 64)) for origin in TILES]


def test_planes_of_separate_colours_are_put_together(tmp_path: Path) -> None:
    slide = tmp_path / "planar.tif"
    tifffile.imwrite(
        slide,
        np.moveaxis(PIXELS, -1, 0),
        photometric="rgb",
        planarconfig="separate",
        rowsperstrip=50,
    )
    with open_reader(slide, mpp=0.5) as reader:
        assert reader.backend == "tifffile"
        np.testing.assert_array_equal(reader.read((0, 0), (300, 420)), PIXELS)


@pytest.mark.parametrize(
    ("kind", "stored", "expected"),
    [
        ("unassalpha", (100, 0, 200, 128), (177, 127, 227)),
        ("assocalpha", (50, 0, 100, 128), (177, 127, 227)),  # already times 128/255
        ("unspecified", (100, 0, 200, 128), (100, 0, 200)),  # not an opacity at all
    ],
)
def test_a_fourth_channel_counts_as_what_the_file_calls_it(
    kind: str, stored: tuple, expected: tuple, tmp_path: Path
) -> None:
    pixels = np.full((40, 40, 4), stored, np.uint8)
    slide = tmp_path / "alpha.tif"
    tifffile.imwrite(slide, pixels, photometric="rgb", extrasamples=[kind], rowsperstrip=8)
    with open_reader(slide, mpp=0.5) as reader:
        assert reader.backend == "tifffile"
        np.testing.assert_allclose(reader.read((3, 3), (1, 1))[0, 0], expected, atol=1)


def test_grey_is_read_as_equal_colours_when_it_is_wanted(tmp_path: Path) -> None:
    slide = planes(tmp_path / "grey.tif", count=1, dtype="uint8", channels=1, ome=True)
    with open_reader(slide, mpp=0.5) as reader:
        found = reader.read((0, 0), (300, 420))
    assert reader.backend == "tifffile"
    np.testing.assert_array_equal(found, np.repeat(PIXELS[..., :1], 3, axis=-1))
    with pytest.raises(Quarantine, match="E_MODALITY"):
        open_reader(slide, mpp=0.5, allow_fluorescence=False)


def test_strips_are_decoded_once_and_forgotten_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow.lib.slides.tiffs._CACHE_BYTES", 3 * 16 * 420 * 4)
    with open_reader(striped(tmp_path / "strips.tif", rows=16)) as reader:
        decoded = []
        monkeypatch.setattr(
            reader._file,
            "_segment",
            lambda page, index, inner=reader._file._segment: (
                decoded.append(index) or inner(page, index)
            ),
        )
        for x in (0, 100, 200):
            reader.read((0, x), (48, 64))
        assert decoded == [0, 1, 2]
        reader.read((0, 0), (300, 8))
        assert len(reader._file._cache) == 3


def test_the_sheet_overrides_the_file(tmp_path: Path) -> None:
    with open_reader(aperio(good(tmp_path / "slide.tif"))) as reader:
        assert (reader.mpp, reader.mpp_source, reader.magnification) == (0.5, "aperio", 20)
    with open_reader(tmp_path / "slide.svs", mpp=0.25) as reader:
        assert (reader.mpp, reader.mpp_source) == (0.25, "sheet")


def test_nothing_but_the_allowed_metadata_leaves_the_reader(tmp_path: Path) -> None:
    slide = aperio(good(tmp_path / "slide.tif"))
    assert b"canary" in slide.read_bytes()
    with open_reader(slide) as reader:
        public = {name for name in dir(reader) if not name.startswith("_")}
        public = {name for name in public if not callable(getattr(reader, name))}
        assert public == {
            *("path", "mpp", "mpp_source", "vendor", "backend", "magnification"),
            *("colours_converted", "height_px0", "width_px0", "levels", "tile_shapes"),
            *("bad_reads", "jpeg_levels"),
        }
        assert "canary" not in repr(vars(reader)) + repr(vars(reader._file))


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(5, "broken")])
def test_storage_that_refuses_is_a_verdict(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise error

    slide = good(tmp_path / "slide.tif")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(Quarantine, match=f"E_IO.*{os.strerror(error.errno)}"):
        open_reader(slide)


def test_nobody_calls_the_opener_that_hides_damage() -> None:
    # It shows a truncated slide, or the preview of a MIRAX slide, as if all were well.
    banned = re.compile(r"openslide\.open_slide|import open_slide|ImageSlide")
    folders = ("workflow", "demo", "benchmarks")
    files = [file for folder in folders for file in (ROOT / folder).rglob("*.py")]
    assert len(files) > 10
    assert [file.name for file in files if banned.search(file.read_text())] == []


@pytest.mark.skipif(not REAL.is_dir(), reason="the real slides are not on this machine")
def test_dicom_frames_labelled_rgb_have_the_colours_of_the_slide_they_were_made_from() -> None:
    with open_reader(REAL / "CMU-1-Small-Region.svs") as reader:
        expected = reader.read((1200, 900), (500, 500)).astype(int)
    with open_reader(REAL / "dicom-cmu1/level-0-frames-0-30.dcm") as reader:
        found = reader.read((1200, 900), (500, 500)).astype(int)
        assert reader.colours_converted
        assert len(reader.levels) == 12
    # Compressed once more, with coarser colour, but not shifted: 77 when taken for RGB.
    blurred = [cv2.blur(pixels.astype(np.float32), (8, 8)) for pixels in (found, expected)]
    assert abs(blurred[0] - blurred[1]).mean() < 1.5
    with open_reader(REAL / "camelyon_jpeg.dcm") as reader:  # says YBR, and OpenSlide knows
        assert not reader.colours_converted


@pytest.mark.skipif(not REAL.is_dir(), reason="the real slides are not on this machine")
@pytest.mark.parametrize(("name", "side"), [("OS-1-detail", 1101), ("OS-2-ndpi", 2202)])
def test_real_ome_tiff_is_read_as_tifffile_reads_it_whole(name: str, side: int) -> None:
    slide = REAL / f"{name}.ome.tif"
    with open_reader(slide) as reader:
        assert reader.mpp == pytest.approx(0.2271, abs=1e-4)
        found = reader.read((0, 0), (side, side))
    np.testing.assert_array_equal(found, tifffile.imread(slide))
