"""Stored tiles decoded past OpenSlide: the file that they are read from."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.lib.mutators import drop_tiles, good, picture
from tests.lib.slides.test_tiled_tiffs import REGIONS, fast, same
from workflow.lib.slides import tiled_tiffs


def test_a_tile_beyond_4_gib_is_read_and_a_closed_file_is_not(tmp_path: Path) -> None:
    slide, far = tmp_path / "slide.tif", 5 << 30
    with tifffile.TiffWriter(slide, bigtiff=True) as tiff:
        tiff.write(picture(), tile=(64, 64), photometric="rgb", compression="jpeg", metadata=None)
    before = same(slide, REGIONS)
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        tag, start, count = page.tags["TileOffsets"], page.dataoffsets[8], page.databytecounts[8]
    with slide.open("r+b") as stream:
        stream.seek(start)
        data = stream.read(count)
        stream.seek(far)
        stream.write(data)
        stream.seek(start)
        stream.write(b"\xff" * count)
        stream.seek(tag.valueoffset + 8 * 8)
        stream.write(far.to_bytes(8, "little"))
    for one, other in zip(same(slide, REGIONS), before, strict=True):
        assert np.array_equal(one[0], other[0])
    with fast(slide) as reader:
        file = reader._file
    with slide.open("rb"):  # gets the descriptor that was the reader's
        assert file.read_half((0, 0), (8, 8), 0) is None


def test_a_file_that_cannot_be_opened_twice_is_openslides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, flags: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(tiled_tiffs.os, "open", refuse)
    with fast(good(tmp_path / "slide.tif")) as reader:
        assert reader.backend == "openslide"
        assert reader.read((0, 0), (8, 8)).shape == (8, 8, 3)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    slides = [good(tmp_path / "slide.tif"), drop_tiles(good(tmp_path / "empty.tif"), levels=4)]
    before = len(os.listdir("/proc/self/fd"))
    for slide in slides:
        with fast(slide) as reader:
            file = reader._file
        assert len(os.listdir("/proc/self/fd")) == before
    assert reader.backend == "openslide"  # no tile of the last one is stored
    file.close()  # a second time does nothing
