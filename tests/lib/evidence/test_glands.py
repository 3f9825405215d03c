"""Glands by stain and shape: by hand, on rings and discs, and in blocks as in one piece."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from workflow.lib.evidence import glands
from workflow.lib.evidence.gland_tiles import GlandTiles
from workflow.lib.evidence.glands import gland_bands, gland_map
from workflow.lib.tiles.stores import Tiles, create_group, create_tiles, write_rows

LUMENS = {"min_lumen_um2": 8, "max_lumen_um2": 60, "wall_um": 2}


def walled(side=24, inner=5, dark=0.8, pale=0.1, stroma=0.3):
    """A square wall one cell thick round a lumen of inner x inner cells, in the middle."""
    found = np.full((side, side), stroma, np.float32)
    at = (side - inner) // 2
    found[at - 1 : at + inner + 1, at - 1 : at + inner + 1] = dark
    found[at : at + inner, at : at + inner] = pale
    return found


def test_a_wall_and_its_lumen_by_hand():
    found = gland_map(walled(), cell_um=1.0, **LUMENS)
    assert found.dtype == np.float32
    assert found[12, 12] == pytest.approx((0.8 + 0.7) / 2)  # filled to the wall, which rose by 0.7
    assert found[12, 9 - 1] == pytest.approx((0.8 + 0.7) / 2)  # the wall itself is as sure
    assert found[12, 7] == pytest.approx((0.3 + 0.7) / 2)  # 2 um from the lumen
    assert found[12, 6] == pytest.approx(0.3 / 2)  # 3 um from it: stroma


@pytest.mark.parametrize(
    ("lumen", "rises"), [(2, False), (3, True), (7, True), (8, False)], ids=str
)
def test_only_lumens_of_the_right_size_count(lumen, rises):
    found = gland_map(walled(inner=lumen), cell_um=1.0, **LUMENS)  # 4, 9, 49 and 64 um2
    assert (found.max() > 0.8 / 2 + 1e-6) == rises


def test_sizes_are_micrometres():
    fine = np.kron(walled(), np.ones((2, 2), np.float32))
    coarse, found = (gland_map(d, cell_um=c, **LUMENS) for d, c in ((walled(), 1), (fine, 0.5)))
    assert found[24, 24] == coarse[12, 12]
    assert found.mean() == pytest.approx(coarse.mean(), rel=0.02)  # discs differ by half a cell


def test_a_wall_with_a_gap_encloses_nothing():
    broken = walled()
    broken[8:10, 12] = 0.1  # through the wall, as pale as the lumen
    broken[:8, 12] = 0.1  # and on to the edge of the map, more than a lumen can hold
    wide = {**LUMENS, "max_lumen_um2": 30}
    assert gland_map(broken, cell_um=1.0, **wide).max() == pytest.approx(0.8 / 2)
    assert gland_map(walled(), cell_um=1.0, **wide).max() == pytest.approx((0.8 + 0.7) / 2)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(0, 0.2))
def test_paler_stain_lowers_and_turning_turns_the_map(seed, shift):
    dark = ndimage.gaussian_filter(np.random.default_rng(seed).random((40, 30)), 2) * 0.7 + shift
    found = gland_map(dark, cell_um=1.0, **LUMENS)
    assert found.min() >= shift / 2 and found.max() <= 1
    assert gland_map(np.rot90(dark), cell_um=1.0, **LUMENS) == pytest.approx(np.rot90(found))
    assert gland_map(dark - shift, cell_um=1.0, **LUMENS) == pytest.approx(
        found - shift / 2, abs=1e-6
    )


def test_lumens_that_cross_are_refused():
    with pytest.raises(ValueError, match="min_lumen_um2 is 60 and max_lumen_um2 8"):
        gland_map(walled(), cell_um=1.0, min_lumen_um2=60, max_lumen_um2=8, wall_um=2)


def a_slide(folder, red, tile_px=16, bad=()):
    """A store of tiles beside each other that show `red` (h, w) uint8; green and blue are white."""
    corners = np.array(
        [(y, x) for y in range(0, red.shape[0], tile_px) for x in range(0, red.shape[1], tile_px)]
    )
    rgb = np.full((*red.shape, 3), 255, np.uint8)
    rgb[..., 0] = red
    tiles = [rgb[y : y + tile_px, x : x + tile_px] for y, x in corners]
    path, count = folder / "tiles.zarr", len(tiles)
    group = create_tiles(path, tiles, count=count, tile_px=tile_px, codec="lossless", quality=90)
    attrs = {"mpp": 1.0, "tile_px": tile_px, "height_px": red.shape[0], "width_px": red.shape[1]}
    group.attrs.update(attrs)
    ones = np.ones(count, np.float32)
    described = {"origins": corners, "positions_px": corners, "tissue": ones, "blur": ones}
    for name, rows in (described | {"bad": np.isin(np.arange(count), bad)}).items():
        write_rows(group, name, rows)
    return Tiles(path)


BLOCKS = {"cell_px": 2, "blur_um": 1.0, "min_lumen_um2": 16, "max_lumen_um2": 100, "wall_um": 4.0}


def pieced(store, **options):
    found = np.concatenate([band for _, band in gland_bands(store, **options)])
    assert found.shape == glands.map_shape(store, options["cell_px"])
    return found


def test_blocks_are_the_map_of_the_whole_slide(tmp_path, monkeypatch):
    rng, (y, x) = np.random.default_rng(0), np.ogrid[:80, :112]
    red = np.full((80, 112), 200, np.uint8)
    for middle, radius in zip(
        rng.integers(0, (80, 112), (12, 2)), rng.uniform(3, 9, 12), strict=True
    ):
        apart = np.hypot(y - middle[0], x - middle[1])
        red[(apart < radius + 3) & (apart >= radius)] = 40
    store = a_slide(tmp_path, red)
    whole = pieced(store, **BLOCKS)
    monkeypatch.setattr(glands, "BLOCK_PX", 20)
    parts = pieced(store, **BLOCKS)
    assert np.isfinite(whole).all() and whole.std() > 0.1
    assert parts == pytest.approx(whole, abs=1e-6)


def test_a_tile_that_could_not_be_read_is_no_lumen(tmp_path):
    """Of 256 um2 amid dark tissue it would be one, and its neighbours the wall of a gland."""
    wide = BLOCKS | {"blur_um": 0.0, "max_lumen_um2": 400}
    store = a_slide(tmp_path, np.full((48, 48), 55, np.uint8), bad=[4])
    found = pieced(store, **wide)
    assert found[:8] == pytest.approx((200 / 255) / 2) and found[16:] == pytest.approx(found[0, 0])
    white = np.full((48, 48), 55, np.uint8)
    white[16:32, 16:32] = 255
    (tmp_path / "read").mkdir()
    assert pieced(a_slide(tmp_path / "read", white), **wide)[7, 12] == pytest.approx(200 / 255)


def test_what_no_tile_shows_is_white(tmp_path):
    store = a_slide(tmp_path, np.zeros((32, 48), np.uint8), bad=[1])
    found = pieced(store, **(BLOCKS | {"blur_um": 0.0}))
    assert found.shape == (16, 24)
    assert (found[:8, 8:16] == 0).all()  # the tile that could not be read: too large for a lumen
    assert (found[8:] == 0.5).all() and (found[:, :8] == 0.5).all()


def test_tiles_get_their_part_of_the_map_between_cells_too(tmp_path):
    store = a_slide(tmp_path, np.zeros((32, 48), np.uint8))
    ramp = np.add.outer(2.0 * np.arange(16), np.arange(24)).astype(np.float16)
    group = create_group(tmp_path / "glands.zarr", {"cell_px": 2})
    group.create_array("glands", shape=ramp.shape, chunks=(8, 8), dtype="float16")[:] = ramp
    cut = GlandTiles(tmp_path, store)
    assert cut.shape == (8, 8)
    assert np.array_equal(cut(slice(1, 3)), [ramp[:8, 8:16], ramp[:8, 16:24]])
    store.positions_px = np.array([[3, 5]])
    expected = np.add.outer(2.0 * (np.arange(8) + 1.5), np.arange(8) + 2.5)
    assert GlandTiles(tmp_path, store)(slice(0, 1))[0].numpy() == pytest.approx(expected)
