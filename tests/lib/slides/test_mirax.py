"""MIRAX slides, which nobody can write: a reader that answers as OpenSlide does stands for one.

OpenSlide opens the index of such a slide, and its data files only when a region asks for them.
"""

from pathlib import Path

import numpy as np
import openslide
import pytest
from PIL import Image

from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.slides import BadPixels, open_reader

PROPERTIES = {
    openslide.PROPERTY_NAME_VENDOR: "mirax",
    openslide.PROPERTY_NAME_MPP_X: "0.5",
    openslide.PROPERTY_NAME_MPP_Y: "0.5",
}
GONE_FROM = 512  # px; what lies below is in the data file that is gone


class Mirax:
    """Two data files, the second of which may be gone; as in OpenSlide a failed handle is dead."""

    properties = PROPERTIES
    level_dimensions = ((1024, 1024),)
    opened = 0

    def __init__(self, path: Path) -> None:
        type(self).opened += 1
        self.data = path.with_suffix("") / "Data0001.dat"
        self.failed = None

    @staticmethod
    def detect_format(path: Path) -> str | None:
        return "mirax" if (path.with_suffix("") / "Slidedat.ini").is_file() else None

    def read_region(self, corner, level, size):
        if corner[1] + size[1] > GONE_FROM and not self.data.exists():
            self.failed = f"Couldn't open {self.data}: No such file or directory"
        if self.failed:
            raise openslide.OpenSlideError(self.failed)
        return Image.new("RGBA", size, (200, 100, 150, 255))

    def close(self) -> None:
        pass


@pytest.fixture
def slide(tmp_path, monkeypatch):
    monkeypatch.setattr(Mirax, "opened", 0)
    monkeypatch.setattr(openslide, "OpenSlide", Mirax)
    (tmp_path / "slide").mkdir()
    for name in ("slide.mrxs", "slide/Slidedat.ini", "slide/Data0001.dat"):
        (tmp_path / name).write_bytes(b"mirax")
    return tmp_path / "slide.mrxs"


def test_a_missing_data_file_costs_its_tiles_only(slide):
    (slide.with_suffix("") / "Data0001.dat").unlink()
    with open_reader(slide) as reader:
        for _ in range(2):
            with pytest.raises(BadPixels) as error:
                reader.read((700, 0), (64, 64))
            assert str(error.value) == (
                "slide.mrxs: level 0 cannot be decoded at y = 700, x = 0 px0."
            )
            np.testing.assert_array_equal(reader.read((0, 0), (64, 64))[0, 0], (200, 100, 150))
        assert reader.bad_reads == 2 and Mirax.opened == 3


def test_a_slide_with_too_many_such_tiles_is_put_aside(slide):
    (slide.with_suffix("") / "Data0001.dat").unlink()
    with open_reader(slide, max_bad_reads=1) as reader:
        with pytest.raises(BadPixels):
            reader.read((700, 0), (64, 64))
        with pytest.raises(Quarantine, match=r"E_TILE.*slide.mrxs: 2 regions cannot be decoded"):
            reader.read((900, 0), (64, 64))


def test_a_file_that_opening_needs_is_named_without_its_folder(slide, monkeypatch):
    def refuse(self, path):
        raise openslide.OpenSlideError(f"Couldn't open {path.parent}/slide/Index.dat: No such file")

    monkeypatch.setattr(Mirax, "__init__", refuse)
    with pytest.raises(Quarantine) as error:
        open_reader(slide)
    assert error.value.code == "E_COMPANION"
    assert "Couldn't open slide/Index.dat" in str(error.value)
    assert str(slide.parent) not in str(error.value)
