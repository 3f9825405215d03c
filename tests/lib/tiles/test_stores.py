"""Stores give back what was put in, in any zarr, in a handful of files, and notice damage."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.tiles.stores import (
    Tiles,
    append_rows,
    create_group,
    create_rows,
    create_tiles,
    open_group,
    write_rows,
)


def tiles(count, tile_px=32, seed=0):
    smooth = np.random.default_rng(seed).integers(60, 200, (count, 4, 4, 3))
    return smooth.repeat(tile_px // 4, 1).repeat(tile_px // 4, 2).astype(np.uint8)


def store(path, pixels, codec="lossless"):
    count, tile_px = len(pixels), pixels.shape[1]
    group = create_tiles(path, iter(pixels), count=count, tile_px=tile_px, codec=codec, quality=90)
    for name, width, dtype in (("origins", 2, "int64"), ("positions_px", 2, "int64")):
        write_rows(group, name, np.arange(count * width, dtype=dtype).reshape(count, width))
    for name, dtype in (("tissue", "float32"), ("blur", "float32"), ("bad", "bool")):
        write_rows(group, name, np.zeros(count, dtype))
    group.attrs.update({"mpp": 0.5, "tile_px": tile_px})
    return path


def files(path):
    return [file for file in path.rglob("*") if file.is_file()]


@pytest.mark.parametrize("count", [0, 1, 300])
def test_lossless_tiles_come_back(tmp_path, count):
    pixels = tiles(count)
    read = Tiles(store(tmp_path / "t.zarr", pixels))
    assert len(read) == count and read.attrs["mpp"] == 0.5
    assert np.array_equal(read.batch(range(count)), pixels)
    order = np.random.default_rng(1).permutation(count)
    assert np.array_equal(read.batch(order), pixels[order])
    assert len(files(tmp_path / "t.zarr")) < 20


def test_jpeg_tiles_are_close_and_small(tmp_path):
    pixels = tiles(40, 64)
    read = Tiles(store(tmp_path / "jpeg.zarr", pixels, "jpeg"))
    error = np.abs(read.batch(range(40)).astype(int) - pixels)
    assert error.mean() < 3 and error.max() < 60
    store(
        tmp_path / "exact.zarr",
        np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), np.uint8),
    )
    size = {
        name: sum(f.stat().st_size for f in files(tmp_path / name))
        for name in ("jpeg.zarr", "exact.zarr")
    }
    assert size["jpeg.zarr"] < size["exact.zarr"] / 3


def test_any_zarr_in_the_environment_opens_a_jpeg_store(tmp_path):
    pixels = tiles(3)
    path = store(tmp_path / "t.zarr", pixels, "jpeg")
    code = f"import zarr; print(zarr.open_group({str(path)!r}, mode='r')['pixels'][1].mean())"
    out = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert abs(float(out.stdout) - pixels[1].mean()) < 3


@pytest.mark.parametrize("codec", ["lossless", "jpeg"])
def test_a_flipped_bit_never_passes_unseen(tmp_path, codec):
    path = store(tmp_path / "t.zarr", tiles(8), codec)
    chunk = max(files(path / "pixels"), key=lambda file: file.stat().st_size)
    whole = chunk.read_bytes()
    expected, refused = Tiles(path).batch(range(8)), 0
    for place in range(0, len(whole), max(1, len(whole) // 40)):
        chunk.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            read = Tiles(path).batch(range(8))
        except Exception:
            refused += 1
        else:
            assert np.array_equal(read, expected), f"byte {place} changed the pixels silently"
    assert refused > 20


@given(st.lists(st.integers(0, 700), max_size=6))
@settings(max_examples=20)
def test_blocks_of_any_size_become_the_same_rows(tmp_path_factory, sizes):
    path = tmp_path_factory.mktemp("rows") / "g.zarr"
    rows = np.arange(sum(sizes) * 3, dtype=np.float32).reshape(-1, 3)
    group = create_group(path, {"encoder": "x"})
    array = create_rows(group, "features", rows.shape, rows.dtype)
    edges = np.cumsum([0, *sizes])
    append_rows(array, (rows[a:b] for a, b in itertools.pairwise(edges)))
    assert np.array_equal(open_group(path)["features"][:], rows)


def test_too_few_rows_are_an_error(tmp_path):
    array = create_rows(create_group(tmp_path / "g.zarr"), "x", (4, 2), "float32")
    with pytest.raises(ValueError, match="4 rows but was given 3"):
        append_rows(array, [np.zeros((3, 2))])


def test_stores_are_zarr_v3_and_read_only(tmp_path):
    path = store(tmp_path / "t.zarr", tiles(2))
    assert zarr.open_group(str(path), mode="r").metadata.zarr_format == 3
    with pytest.raises(ValueError, match="read.only"):
        open_group(path)["tissue"][:] = 1
