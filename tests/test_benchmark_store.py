"""The benchmark of stores: every way reads the same tiles, and ratios are those of its numbers."""

import re
import sys

import numpy as np
import pytest

from benchmarks import store as benchmark

SMALL = ("--tiles", "6", "--tile-px", "32", "--batch", "4", "--rounds", "1")


def number(cell):
    return float(cell.replace(",", ""))


def test_every_way_has_its_numbers_and_its_ratio_to_the_limit(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["store.py", *SMALL, "--codecs", "lossless"])
    benchmark.main()
    head, *lines = capsys.readouterr().out.splitlines()
    assert re.split(r" {2,}", head) == [*benchmark.HEAD]
    *rows, size, files = [re.split(r" {2,}", line) for line in lines]
    rates, limit, ours = {row[0]: row for row in rows}, benchmark.LIMIT, benchmark.OURS
    ways = (limit, ours, "zarr", "reading and decoding")
    asked = {f"{order}: {way}" for order in ("sequential", "random") for way in ways}
    asked |= {f"random: {way}, 2 {of}" for way in ways[:2] for of in ("processes", "threads")}
    assert {f"lossless, {name}" for name in asked} <= rates.keys()
    for name, (_, value, ends, unit, ratio, _, wall, _) in rates.items():
        base = re.sub(": [^,]+", f": {limit}", name.replace(", not compressed", ""))
        assert number(ratio) == pytest.approx(number(value) / number(rates[base][1]), abs=0.02)
        low, high = map(number, ends.split("-"))
        assert unit == "tiles/s" and 0 < low <= number(value) <= high and number(wall) > 0
    assert size[::2] == ["lossless: a slide of 6 tiles", "bytes", "of its pixels"]
    assert files[1:] == ["13", "files"]  # two of each of six arrays, and that of the group


@pytest.mark.parametrize("codec", ["lossless", "jpeg"])
def test_all_ways_read_the_same_tiles(tmp_path, codec):
    made = {"tile_px": 32, "count": 9, "codec": codec}
    benchmark.draw_store(tmp_path / "tiles.zarr", np.random.default_rng(0), **made)
    store = benchmark.Tiles(tmp_path / "tiles.zarr")
    for name, work in benchmark.make_works(tmp_path, store, codec, 5).items():
        for rows in (np.arange(2, 7), np.array([8, 0, 3])):
            assert np.array_equal(work(rows), store.batch(rows)), name
