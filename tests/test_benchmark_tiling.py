"""The benchmark of reading runs, and its numbers hang together."""

import re
import sys

import pytest

from benchmarks import slide_readers, tiling
from tests.lib.mutators import good, picture
from tests.synthetic import write_slide


def table(capsys, monkeypatch, *arguments):
    """(times coarser, name) -> the cells that follow; and what is said below the table."""
    monkeypatch.setattr(sys, "argv", ["tiling.py", *map(str, arguments)])
    tiling.main()
    head, *lines, said = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "times coarser"
    rows = [re.split(r" {2,}", line.strip()) for line in lines]
    return {(row[0], row[1]): row[2:] for row in rows}, said


def few(monkeypatch):
    """OpenSlide by area and by Pillow, and one library that nobody has."""
    ways = {name: slide_readers.WAYS[name] for name in ("openslide", "openslide, pillow")}
    ways["notthere"] = ("notthere", slide_readers.open_cucim)
    monkeypatch.setattr(slide_readers, "WAYS", ways)
    monkeypatch.setattr(tiling, "WAYS", ways)


def test_a_library_that_refuses_a_tile_is_left_out_and_named(tmp_path, capsys, monkeypatch):
    def refuse(library, tiles):
        raise KeyError("no such tile")

    few(monkeypatch)
    tiling.WAYS["openslide, pillow"] = ("openslide", refuse)
    slide = good(tmp_path / "slide.tif", pyramid=False)
    monkeypatch.setattr(sys, "argv", ["tiling.py", str(slide), "--coarser", "1", "--rounds", "1"])
    tiling.main()
    shown = capsys.readouterr()
    assert "openslide, pillow is left out at 1: KeyError('no such tile')" in shown.err
    assert "not measured: notthere, openslide, pillow;" in shown.out


def number(cell):
    return float(cell.replace(",", ""))


def test_every_reader_has_its_ratios_and_shows_the_same_pixels(tmp_path, capsys, monkeypatch):
    few(monkeypatch)
    slide = good(tmp_path / "slide.tif", pyramid=False)
    found, said = table(capsys, monkeypatch, slide, "--coarser", 1, 2, "--tiles", 4, "--rounds", 3)
    names = (tiling.LIMIT, tiling.OURS, "openslide", "openslide, pillow")
    copies = [("1", name) for name in (tiling.COPIED, tiling.CHECKED)]
    first, second = ([(coarser, name) for name in names] for coarser in "12")
    assert list(found)[:6] == [*first[:2], *copies, *first[2:]]
    assert list(found)[6:] == [*second[:2], ("2", tiling.HALF), *second[2:]]
    assert said == "not measured: notthere; limit: libjpeg-turbo"
    assert [found[name][9] for name in [*copies, ("1", names[3])]] == ["0", "0", "0"]
    assert 20 < float(found["2", tiling.HALF][-1]) < 60  # dB
    for coarser in "12":
        limit, ours, usual, _ = (found[coarser, name] for name in names)
        for cells in (limit, ours, usual):
            for value, spread, of_limit, of_usual in (cells[:4], cells[4:8]):  # CPU, wall
                low, high = map(number, spread.split(" to "))
                assert low <= number(value) <= high
                assert float(of_limit) > 0 and float(of_usual) > 0
        assert limit[2] == limit[6] == usual[3] == usual[7] == "1.00"
        assert len(limit) == 8 and int(usual[9]) == 0
        assert int(ours[9]) <= int(coarser) - 1  # a mean is rounded in two ways


@pytest.mark.parametrize("kind", tiling.KINDS)
def test_a_slide_is_measured_as_jpeg_2000(kind, tmp_path, capsys, monkeypatch):
    few(monkeypatch)
    slide = tmp_path / "slide.tif"
    write_slide(slide, picture(520, 780), mpp=0.5, pyramid=False)
    arguments = (slide, "--as", kind, "--coarser", 1, 1.5, "--tiles", 2, "--rounds", 1)
    found, said = table(capsys, monkeypatch, *arguments)
    assert said.endswith("limit: OpenJPEG")
    assert list(found)[:3] == [("1", name) for name in (tiling.LIMIT, tiling.OURS, "openslide")]
    assert [found[coarser, tiling.OURS][9] for coarser in ("1", "1.5")] == ["0", "0"]


def test_what_cannot_be_measured_is_a_sentence(tmp_path, capsys, monkeypatch):
    plain = good(tmp_path / "plain.tif", compression=None)
    small = tmp_path / "small.tif"
    write_slide(small, picture(40, 50), mpp=0.5, tile_px=64, pyramid=False)
    for given, says in [
        ([plain], "plain.tif has no levels of stored tiles to decode directly"),
        ([small], "small.tif is too small for a tile 1 times coarser"),
        ([good(tmp_path / "slide.tif"), "--coarser", 0.5], "--coarser 0.5 is below 1"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            table(capsys, monkeypatch, *given)
        assert says in capsys.readouterr().err + str(stopped.value)
