"""The rule cuts tiles: exact pixels at the right place, and a verdict for every slide."""

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.scripts.test_mask_tissue import check, shard
from tests.synthetic import write_slide
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import visit
from workflow.lib.jobs.units import manifest
from workflow.lib.slides.resampling import resample
from workflow.lib.tiles.stores import Tiles
from workflow.scripts.tile_slide import tile_slide

SETTINGS = {
    "mpp": 0.5,
    "tile_px": 64,
    "stride_px": 64,
    "min_tissue": 0.25,
    "codec": "lossless",
    "quality": 90,
    "max_upsample": 1.1,
    "max_bad_tiles": 0.001,
    "half_db": 0,
}


def mark(folder, slides, masks):
    """What mask_tissue leaves behind."""

    def work(slide, unit):
        Image.fromarray(masks[slide.slide].astype(np.uint8) * 255).save(unit / "tissue.png")

    index = folder / "tissue/all.json"
    visit(index, shard("mask_tissue", slides, {}), work)
    return index


def run(folder, slides, masks, refused=(), **changed):
    settings = SETTINGS | changed
    tiles = folder / "tiles/all.json"
    tile_slide(
        check(folder, slides, refused),
        mark(folder, slides, masks),
        tiles,
        shard=shard("tile_slide", slides, settings),
        scratch=None,
        **settings,
    )
    return tiles.parent


def make(folder, name="a", shape=(300, 420), mpp=0.5, **options):
    """A slide of coloured noise, uncompressed unless told, and its pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    write_slide(folder / f"{name}.tif", pixels, mpp=mpp, **{"compression": None} | options)
    return Slide(name, folder / f"{name}.tif", "p", "normal"), pixels


FULL = np.ones((6, 8), bool)


def test_tiles_at_the_mpp_of_the_slide_are_its_pixels(tmp_path):
    slide, pixels = make(tmp_path)
    unit = run(tmp_path, [slide], {"a": FULL}) / "a"
    tiles = Tiles(unit / "tiles.zarr")
    assert len(tiles) == 5 * 7
    assert tiles.positions_px[[0, 1, 6, 7, -1]].tolist() == [
        [0, 0],
        [0, 64],
        [0, 356],
        [64, 0],
        [236, 356],
    ]
    assert np.array_equal(tiles.origins, tiles.positions_px)
    for i, (y, x) in enumerate(tiles.positions_px):
        assert np.array_equal(tiles.pixels(i), pixels[y : y + 64, x : x + 64])
    assert tiles.attrs == {
        "mpp": 0.5,
        "tile_px": 64,
        "stride_px": 64,
        "scale": 1.0,
        "width_px": 420,
        "height_px": 300,
        "width_px0": 420,
        "height_px0": 300,
    }
    assert manifest(unit)["facts"] == {
        "tiles": 35,
        "grid": 35,
        "kept": 35,
        "bad": 0,
        "mpp": 0.5,
        "scale": 1.0,
        "backend": "openslide",  # the tiles are not JPEG
    }


@pytest.mark.parametrize("mpp", [0.6, 1.0, 1.37, 0.47])
def test_tiles_at_another_mpp_are_area_averages(tmp_path, mpp):
    slide, pixels = make(tmp_path, pyramid=False)
    tiles = Tiles(run(tmp_path, [slide], {"a": FULL}, mpp=mpp, stride_px=40) / "a/tiles.zarr")
    scale = mpp / 0.5
    assert tiles.attrs["scale"] == pytest.approx(scale)
    assert abs(tiles.origins - tiles.positions_px * scale).max() <= 0.5
    canvas = np.full((800, 800, 3), 255, np.uint8)
    canvas[:300, :420] = pixels
    for i, (y, x) in enumerate(tiles.positions_px):
        expected = resample(canvas, (y * scale, x * scale), scale, (64, 64))
        assert abs(tiles.pixels(i).astype(int) - expected).max() <= 1


def test_a_pyramid_is_used_and_changes_nothing_where_it_fits(tmp_path):
    plain, _ = make(tmp_path, "plain", shape=(512, 512), pyramid=False)
    pyramid, _ = make(tmp_path, "pyramid", shape=(512, 512), tile_px=128)
    slides = [plain, pyramid]
    found = run(tmp_path, slides, {"plain": FULL, "pyramid": FULL}, mpp=1.0)
    pixels = [Tiles(found / name / "tiles.zarr").batch(range(16)) for name in ("plain", "pyramid")]
    assert abs(pixels[0].astype(int) - pixels[1]).max() <= 1


def test_only_tissue_is_kept_in_row_order(tmp_path):
    slide, _ = make(tmp_path, shape=(256, 256))
    mask = np.zeros((4, 4), bool)
    mask[0, 3] = mask[2, 1] = mask[2, 2] = True
    mask = mask.repeat(4, axis=0).repeat(4, axis=1)
    mask[4:6, 4:6] = True  # a quarter of tile (1, 1)
    mask[12:14, 0:2] = True
    mask[13, 1] = False  # less than a quarter of tile (3, 0)
    unit = run(tmp_path, [slide], {"a": mask}) / "a"
    tiles = Tiles(unit / "tiles.zarr")
    assert (tiles.positions_px // 64).tolist() == [[0, 3], [1, 1], [2, 1], [2, 2]]
    assert tiles.tissue.tolist() == [1.0, 0.25, 1.0, 1.0]
    assert manifest(unit)["facts"]["grid"] == 16
    assert (tiles.blur > 1000).all()


def test_a_slide_without_tissue_is_empty_not_wrong(tmp_path):
    slide, _ = make(tmp_path)
    unit = run(tmp_path, [slide], {"a": ~FULL}) / "a"
    tiles = Tiles(unit / "tiles.zarr")
    assert manifest(unit)["verdict"] == "ok_empty"
    assert manifest(unit)["facts"]["tiles"] == 0
    assert tiles.batch([]).shape == (0, 64, 64, 3)
    assert tiles.origins.shape == tiles.positions_px.shape == (0, 2)
    assert tiles.tissue.shape == tiles.blur.shape == tiles.bad.shape == (0,)
    assert tiles.attrs["width_px"] == 420


def test_a_slide_smaller_than_a_tile_is_padded_with_white(tmp_path):
    slide, pixels = make(tmp_path, shape=(40, 50))
    tiles = Tiles(run(tmp_path, [slide], {"a": FULL}) / "a/tiles.zarr")
    assert len(tiles) == 1
    assert np.array_equal(tiles.pixels(0)[:40, :50], pixels)
    assert (tiles.pixels(0)[40:] == 255).all()
    assert (tiles.pixels(0)[:, 50:] == 255).all()


def test_a_slide_that_is_too_coarse_is_put_aside_and_the_others_are_cut(tmp_path):
    slides = [make(tmp_path, "fine")[0], make(tmp_path, "coarse", mpp=2.0)[0]]
    found = run(tmp_path, slides, {"fine": FULL, "coarse": FULL})
    assert manifest(found / "fine")["verdict"] == "ok"
    coarse = manifest(found / "coarse")
    assert coarse["verdict"] == "E_COARSE"
    assert "coarse has 2 um per pixel and the study asks for 0.5" in coarse["sentence"]
    assert coarse["files"] == {}


def test_a_quarantined_slide_keeps_its_verdict(tmp_path):
    slide, _ = make(tmp_path)
    found = run(tmp_path, [slide], {"a": FULL}, refused={"a"})
    assert manifest(found / "a")["verdict"] == "E_FORMAT"


def test_jpeg_tiles_are_close(tmp_path):
    smooth = np.add.outer(np.arange(256) // 2, np.arange(256) // 2).astype(np.uint8)
    write_slide(tmp_path / "a.tif", np.dstack([smooth] * 3), mpp=0.5, compression=None)
    slide = Slide("a", tmp_path / "a.tif", "p")
    tiles = Tiles(run(tmp_path, [slide], {"a": FULL}, codec="jpeg") / "a/tiles.zarr")
    assert abs(tiles.pixels(0).astype(int) - smooth[:64, :64, None]).max() <= 4


def damage(path, count):
    """Overwrite the bytes of `count` stored tiles, spread over the file."""
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        chosen = np.linspace(10, len(page.dataoffsets) - 10, count).astype(int)
        places = [(page.dataoffsets[i], page.databytecounts[i]) for i in chosen]
        across = -(-page.imagewidth // page.tilewidth)
    rng = np.random.default_rng(0)
    with path.open("r+b") as stream:
        for offset, length in places:
            stream.seek(offset)
            stream.write(rng.bytes(length))
    return [divmod(int(i), across) for i in chosen]


def test_one_damaged_spot_costs_only_the_tiles_that_touch_it(tmp_path):
    slide, _ = make(tmp_path, shape=(640, 1280), pyramid=False, tile_px=64, compression="jpeg")
    checks = check(tmp_path, [slide])
    assert checks.is_file()
    before = Tiles(run(tmp_path / "whole", [slide], {"a": FULL}) / "a/tiles.zarr")
    ((row, column),) = damage(slide.path, 1)
    unit = run(tmp_path / "cut", [slide], {"a": FULL}) / "a"
    tiles = Tiles(unit / "tiles.zarr")
    assert manifest(unit)["verdict"] == "ok"
    assert manifest(unit)["facts"]["bad"] == 1
    (index,) = np.flatnonzero(tiles.bad)
    assert (tiles.positions_px[index] // 64).tolist() == [row, column]
    assert (tiles.pixels(index) == 255).all()
    assert tiles.blur[index] == 0
    good = np.flatnonzero(~tiles.bad)
    assert len(good) == 199
    assert np.array_equal(tiles.batch(good), before.batch(good))


def test_overlapping_tiles_share_one_damaged_spot(tmp_path):
    slide, _ = make(tmp_path, shape=(640, 640), pyramid=False, tile_px=64, compression="jpeg")
    damage(slide.path, 1)
    found = manifest(run(tmp_path, [slide], {"a": FULL}, stride_px=32) / "a")
    assert (found["verdict"], found["facts"]["bad"]) == ("ok", 6)  # at the left edge, 2 x 3


@pytest.mark.parametrize(("share", "verdict"), [(0.0, "E_TILE"), (0.001, "E_TILE"), (0.1, "ok")])
def test_too_many_damaged_tiles_put_the_slide_aside(tmp_path, share, verdict):
    slide, _ = make(tmp_path, shape=(640, 1280), pyramid=False, tile_px=64, compression="jpeg")
    damage(slide.path, 9)
    found = manifest(run(tmp_path, [slide], {"a": FULL}, max_bad_tiles=share) / "a")
    assert found["verdict"] == verdict
    if verdict == "E_TILE":
        assert "a: " in found["sentence"]
        assert "tiles cannot be decoded" in found["sentence"]
        assert found["files"] == {}


def test_a_slide_damaged_all_over_is_put_aside_soon(tmp_path):
    slide, _ = make(tmp_path, shape=(640, 1280), pyramid=False, tile_px=64, compression="jpeg")
    damage(slide.path, 180)
    found = manifest(run(tmp_path, [slide], {"a": FULL}, max_bad_tiles=1.0) / "a")
    assert found["verdict"] == "E_TILE"


def test_as_many_tiles_may_be_damaged_as_the_setting_says(tmp_path):
    slide, _ = make(tmp_path, shape=(1920, 1920), pyramid=False, tile_px=64, compression="jpeg")
    damage(slide.path, 250)
    found = manifest(run(tmp_path, [slide], {"a": FULL}, max_bad_tiles=0.4) / "a")
    assert (found["verdict"], found["facts"]["bad"]) == ("ok", 250)


def test_the_same_slide_gives_the_same_bytes(tmp_path):
    slide, _ = make(tmp_path)
    found = [
        manifest(run(tmp_path / name, [slide], {"a": FULL}, mpp=0.7) / "a")["files"]
        for name in "ab"
    ]
    assert found[0] == found[1]
    assert len(found[0]) > 5


def test_every_slide_gets_one_sentence(tmp_path, caplog):
    slide, _ = make(tmp_path)
    with caplog.at_level(logging.INFO, logger="workflow.scripts.tile_slide"):
        run(tmp_path, [slide], {"a": FULL})
    assert caplog.messages == [
        "a: 35 of 35 tiles hold tissue, at 0.5 um per pixel; 0 unreadable. openslide read it."
    ]


@pytest.mark.parametrize(("half_db", "backend"), [(0, "libjpeg-turbo"), (20, " at half size")])
def test_the_manifest_says_what_decoded_the_tiles(half_db, backend, tmp_path):
    slide, _ = make(tmp_path, compression="jpeg", pyramid=False)
    unit = run(tmp_path, [slide], {"a": FULL}, mpp=1.0, tile_px=64, half_db=half_db) / "a"
    assert manifest(unit)["facts"]["backend"].endswith(backend)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_slide(tmp_path):
    """Peak memory of cutting 20,000 x 4,000 px is that of 5,000 x 4,000 px, within 25%."""
    peaks = []
    for name, width in (("narrow", 5000), ("wide", 20000)):
        pixels = np.zeros((4000, width, 3), np.uint8)
        pixels[..., 0] = np.arange(width) % 251
        write_slide(tmp_path / f"{name}.tif", pixels, mpp=0.5)
        program = (
            "import resource, sys; from pathlib import Path; import numpy as np;"
            "from tests.scripts.test_tile_slide import Slide, run, FULL;"
            f"folder = Path({str(tmp_path)!r});"
            f"slide = Slide({name!r}, folder / {name + '.tif'!r}, 'p');"
            f"run(folder / {name!r}, [slide], {{{name!r}: FULL}}, mpp=0.7);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        root = Path(__file__).parents[2]
        answer = subprocess.run(
            [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True
        )
        peaks.append(int(answer.stdout))
    assert peaks[1] < 1.25 * peaks[0]


def test_a_real_slide_from_end_to_end(tmp_path):
    file = Path(__file__).parents[2] / "../shared/data/slides/CMU-1-Small-Region.svs"
    if not file.is_file():
        pytest.skip("the real slide CMU-1-Small-Region.svs is not here")
    slide = Slide("cmu", file, "p")
    mask = np.ones((50, 40), bool)
    tiles = Tiles(
        run(tmp_path, [slide], {"cmu": mask}, mpp=1.0, tile_px=128, stride_px=128)
        / "cmu/tiles.zarr"
    )
    assert tiles.attrs["scale"] == pytest.approx(1 / 0.499)
    assert len(tiles) == 9 * 12
    with tifffile.TiffFile(file) as source:
        pixels = source.pages[0].asarray()
    for i in (0, 40, 77):
        y, x = tiles.positions_px[i]
        scale = tiles.attrs["scale"]
        expected = resample(pixels, (y * scale, x * scale), scale, (128, 128))
        assert abs(tiles.pixels(i).astype(int) - expected).max() <= 1
