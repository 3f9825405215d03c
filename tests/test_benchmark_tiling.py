"""The benchmark of reading runs, and its numbers hang together."""

import re
import sys

import pytest

from benchmarks import tiling
from tests.lib.mutators import good, picture
from tests.synthetic import write_slide


def table(capsys, monkeypatch, *arguments):
    """(times coarser, name) -> the cells that follow."""
    monkeypatch.setattr(sys, "argv", ["tiling.py", *map(str, arguments)])
    tiling.main()
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "times coarser"
    rows = [re.split(r" {2,}", line.strip()) for line in lines]
    return {(row[0], row[1]): row[2:] for row in rows}


def test_every_reader_has_its_ratios_and_shows_the_same_pixels(tmp_path, capsys, monkeypatch):
    slide = good(tmp_path / "slide.tif", pyramid=False)
    monkeypatch.setattr(tiling, "PEERS", {"openslide": "OpenSlide", "notthere": "OpenSlide"})
    found = table(capsys, monkeypatch, slide, "--coarser", 1, 2, "--tiles", 4, "--rounds", 3)
    names = (tiling.LIMIT, tiling.OURS, "openslide")
    copies = [("1", name) for name in (tiling.COPIED, tiling.CHECKED)]
    first, second = ([(coarser, name) for name in names] for coarser in "12")
    assert list(found)[:5] == [*first[:2], *copies, first[2]]
    assert list(found)[5:] == [*second[:2], ("2", tiling.HALF), second[2]]
    assert [found[name][8] for name in copies] == ["0", "0"]
    assert 20 < float(found["2", tiling.HALF][-1]) < 60  # dB
    for coarser in "12":
        limit, ours, usual = (found[coarser, name] for name in names)
        assert limit[3] == "1.00" and usual[4] == "1.00"
        for value, unit, spread, of_limit, _, cpu, wall, *_ in (limit, ours, usual):
            low, high = (float(end.replace(",", "")) for end in spread.split(" to "))
            assert unit == "tiles/CPU s" and low <= float(value.replace(",", "")) <= high
            assert float(cpu) > 0 and float(wall) > 0 and float(of_limit) > 0
        assert len(limit) == 7 and int(usual[8]) == 0
        assert int(ours[8]) <= int(coarser) - 1  # a mean is rounded in two ways


def test_what_cannot_be_measured_is_a_sentence(tmp_path, capsys, monkeypatch):
    plain = good(tmp_path / "plain.tif", compression=None)
    small = tmp_path / "small.tif"
    write_slide(small, picture(40, 50), mpp=0.5, tile_px=64, pyramid=False)
    for given, says in [
        ([plain], "plain.tif has no levels of JPEG tiles to decode directly"),
        ([small], "small.tif is too small for a tile 1 times coarser"),
        ([good(tmp_path / "slide.tif"), "--coarser", 0.5], "--coarser 0.5 is below 1"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            table(capsys, monkeypatch, *given)
        assert says in capsys.readouterr().err + str(stopped.value)
