"""Shards give what zarr gives, and whatever is damaged has a name."""

import copy
import json
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.tiles import stores
from workflow.lib.tiles.codecs import encode_jpeg
from workflow.lib.tiles.shards import OPEN_FILES, Shards, write_jpegs
from workflow.lib.tiles.stores import create_group, create_rows, create_tiles, write_rows

CODECS = ["lossless", "jpeg"]


def tiles(count, tile_px=16, seed=0):
    smooth = np.random.default_rng(seed).integers(60, 200, (count, 4, 4, 3))
    return smooth.repeat(tile_px // 4, 1).repeat(tile_px // 4, 2).astype(np.uint8)


def store(path, pixels, codec="lossless"):
    count, side = len(pixels), 16 if codec == "copy" else pixels.shape[1]
    create_tiles(path, iter(pixels), count=count, tile_px=side, codec=codec, quality=90)
    return path / "pixels"


def shard(path):
    return next(file for file in path.rglob("*") if file.is_file() and file.name != "zarr.json")


@settings(max_examples=30)
@given(
    st.integers(0, 12),
    st.sampled_from([4, 8, 20]),
    st.integers(1, 5),
    st.sampled_from(CODECS),
    st.sets(st.integers(0, 11)),
)
def test_it_is_what_zarr_reads(tmp_path_factory, count, side, each, codec, black):
    folder, pixels = tmp_path_factory.mktemp("t"), tiles(count, side)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stores, "SHARD_BYTES", each * side * side * 3)
        path = store(folder / "t.zarr", pixels, codec)
    array = zarr.open_array(str(path), mode="r+")  # which drops chunks of zeros
    for row in black & set(range(count)) - set(range(0, count, each)):  # never a whole shard
        array[row] = pixels[row] = 0
    expected, read = zarr.open_array(str(path), mode="r")[:], Shards(path)
    assert read.shape == expected.shape and read.dtype == expected.dtype and len(read) == count
    assert np.array_equal(read[:], expected) and np.array_equal(read[1:3], expected[1:3])
    for row in np.random.default_rng(0).permutation(count):
        assert np.array_equal(read[row], expected[row])
    assert codec == "jpeg" or np.array_equal(expected, pixels)


@pytest.mark.parametrize("count", [0, 1, 4, 6, 8])
def test_jpegs_are_written_as_zarr_writes_them(tmp_path, monkeypatch, count):
    pixels = tiles(count)
    monkeypatch.setattr(stores, "SHARD_BYTES", 4 * 16 * 16 * 3)
    usual = store(tmp_path / "usual.zarr", pixels, "jpeg")
    ours = store(tmp_path / "ours.zarr", [encode_jpeg(tile, 90) for tile in pixels], "copy")
    for file in usual.rglob("*"):
        other = ours / file.relative_to(usual)
        assert file.is_dir() or file.read_bytes() == other.read_bytes(), file.name
    assert len(list(ours.rglob("*"))) == len(list(usual.rglob("*")))


def test_too_few_or_too_many_jpegs_are_an_error(tmp_path):
    path = store(tmp_path / "t.zarr", tiles(3), "jpeg")
    for wrong in (2, 4):
        with pytest.raises(ValueError, match=f"3 rows but was given {wrong}"):
            write_jpegs(path, [b"jpeg"] * wrong)


@settings(max_examples=30)
@given(
    st.integers(0, 900),
    st.sampled_from([(), (2,), (3, 50), (2, 90, 90)]),
    st.sampled_from(["float16", "float32", "int64", "uint16", "bool"]),
    st.tuples(st.integers(0, 900), st.integers(0, 900)),
)
def test_rows_of_any_kind_are_what_zarr_reads(tmp_path_factory, count, shape, dtype, ends):
    count = count // 9 if len(shape) == 3 else count
    rows = np.random.default_rng(1).integers(0, 2, (count, *shape)).astype(dtype)
    group = create_group(tmp_path_factory.mktemp("g") / "g.zarr")
    path = group.store.root / write_rows(group, "rows", rows).path
    read, part = Shards(path), slice(*ends)
    assert read.dtype == rows.dtype
    assert np.array_equal(read[:], rows) and np.array_equal(read[part], rows[part])
    if count:
        assert np.array_equal(read[count - 1], rows[-1])
    with pytest.raises(IndexError, match=f"{count} rows, and no row {count}"):
        read[count]


@pytest.mark.parametrize("codec", CODECS)
def test_a_flipped_byte_at_any_place_names_store_and_tile(tmp_path, codec):
    path = store(tmp_path / "t.zarr", tiles(2, 8), codec)
    file = shard(path)
    whole, expected, said = file.read_bytes(), Shards(path)[:], []
    places = range(0, len(whole), 3)
    for place in places:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        read = Shards(path)
        for row in range(2):
            try:
                found = read[row]
            except ValueError as error:
                said.append((row, str(error)))
            else:
                assert np.array_equal(found, expected[row]), f"byte {place} passed unseen"
    assert all(f"Row {row} of {path}" in text and "verify" in text for row, text in said)
    assert len(said) >= 0.95 * len(places)


@pytest.mark.parametrize("codec", CODECS)
def test_a_truncated_shard_names_store_and_tile(tmp_path, codec):
    path = store(tmp_path / "t.zarr", tiles(3, 8), codec)
    file = shard(path)
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=f"Row 2 of {path}"):
            Shards(path)[2]


def test_a_shard_that_is_cut_behind_its_index_is_noticed(tmp_path):
    path = store(tmp_path / "t.zarr", tiles(3, 8))
    read = Shards(path)
    read[0]
    shard(path).write_bytes(shard(path).read_bytes()[:20])
    with pytest.raises(ValueError, match=r"Row 2 of .*\(its shard ends after 0 of"):
        read[2]


@pytest.mark.parametrize("codec", CODECS)
def test_a_lost_shard_is_no_black_tile(tmp_path, codec):
    path = store(tmp_path / "t.zarr", np.zeros((3, 8, 8, 3), np.uint8), codec)
    assert np.array_equal(Shards(path)[:], np.zeros((3, 8, 8, 3)))
    shard(path).unlink()  # there is one, although all is zero
    assert not zarr.open_array(str(path), mode="r")[:].any()
    with pytest.raises(ValueError, match=r"Row 0 of .*No such file.*workflow\.tools\.verify"):
        Shards(path)[0]


def test_a_jpeg_of_another_size_is_refused(tmp_path):
    path = store(tmp_path / "t.zarr", tiles(1, 16), "jpeg")
    about = json.loads((path / "zarr.json").read_text().replace("16", "8"))
    for side in (8, 32):
        text = json.dumps(about).replace("8, 8", f"{side}, {side}")
        (path / "zarr.json").write_text(text)
        with pytest.raises(ValueError, match=f"Row 0 of {path}"):
            Shards(path)[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chunks": (2, 6)}, "shards"),
        ({"chunks": (2, 3), "shards": (4, 6)}, "chunks"),
        ({"chunks": (2, 6), "shards": (4, 6), "compressors": zarr.codecs.GzipCodec()}, "codecs"),
        ({"chunks": (2, 6), "shards": (4, 6), "serializer": zarr.codecs.BytesCodec(endian="big"),
          "compressors": zarr.codecs.ZstdCodec()}, "order of bytes"),
        ({"chunks": (2, 6), "shards": (4, 6), "compressors": zarr.codecs.ZstdCodec(),
          "fill_value": 7}, "fill value"),
        ({"chunks": (4, 6), "compressors": None,
          "serializer": zarr.codecs.ShardingCodec(chunk_shape=(2, 6), index_location="start")},
         "index"),
    ],
)  # fmt: skip
def test_another_layout_is_told_and_not_guessed(tmp_path, change, said):
    zarr.create_array(str(tmp_path / "a"), shape=(10, 6), dtype="int32", **change)
    with pytest.raises(ValueError, match=f"a is not laid out as the stages .*({said})"):
        Shards(tmp_path / "a")


def test_a_torn_description_is_told(tmp_path):
    path = store(tmp_path / "t.zarr", tiles(1, 8))
    (path / "zarr.json").write_text('{"shape": [')
    with pytest.raises(ValueError, match="pixels is not laid out .*make it again"):
        Shards(path)


def read_all(read):
    return [int(read[row].sum()) for row in range(len(read))]


@pytest.mark.parametrize(("how", "codec"), [("fork", "jpeg"), ("spawn", "lossless")])
def test_workers_read_the_same(tmp_path, how, codec):
    read = Shards(store(tmp_path / "t.zarr", tiles(9, 8), codec))
    expected = read_all(read)  # what is open stays open in a forked worker
    with multiprocessing.get_context(how).Pool(2) as pool:
        assert pool.map(read_all, [read] * 4) == [expected] * 4
    assert read_all(copy.deepcopy(read)) == expected == read_all(read)


def test_threads_read_the_same_and_few_files_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "SHARD_BYTES", 1)
    rows = np.arange((OPEN_FILES + 20) * 9000, dtype=np.float32).reshape(-1, 9000)
    group = create_group(tmp_path / "g.zarr")
    create_rows(group, "rows", rows.shape, rows.dtype)[:] = rows
    read, before = Shards(tmp_path / "g.zarr" / "rows"), len(os.listdir("/dev/fd"))
    order = np.random.default_rng(0).integers(0, len(rows), 800)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda row: read[row], order))
    assert np.array_equal(np.stack(found), rows[order])
    assert len(np.unique(order)) > OPEN_FILES
    assert len(os.listdir("/dev/fd")) <= before + OPEN_FILES


def test_a_store_that_is_replaced_is_read_anew(tmp_path):
    assert Shards(store(tmp_path / "t.zarr", tiles(2, 8)))[:].any()
    (tmp_path / "t.zarr").rename(tmp_path / "old.zarr")
    second = tiles(2, 8, seed=1)
    assert np.array_equal(Shards(store(tmp_path / "t.zarr", second))[:], second)
