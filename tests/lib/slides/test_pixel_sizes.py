import pytest

from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.pixel_sizes import PixelSize, choose, from_ome, from_resolution, number

WIDE = {"mpp_min": 0.05, "mpp_max": 20.0}
XML = (
    '<?xml version="1.0"?><OME xmlns="http://x"><Image ID="Image:0"><Pixels SizeX="300" '
    'PhysicalSizeX="9" PhysicalSizeY="9"/></Image><Image><ome:Pixels ID="1" SizeX="1000" '
    'PhysicalSizeX=\'0.25\' PhysicalSizeXUnit="&#181;m" PhysicalSizeY = "250" '
    'PhysicalSizeYUnit="nm" SizeY="1"/></Image></OME>'
)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), ("0,5", 0.5), (" 1e-1 ", 0.1), ("abc", None), ("", None), ("inf", None)],
)
def test_numbers_are_read_as_people_write_them(text: str, value: float | None) -> None:
    assert number(text) == value


def test_resolution_tags_count_pixels_per_length() -> None:
    assert from_resolution(50800, 25400, "inch") == PixelSize(0.5, 1.0, "tiff tags", fallback=True)
    assert from_resolution(40000, 20000, "3") == PixelSize(0.25, 0.5, "tiff tags", fallback=True)
    assert from_resolution(40000, 20000, "1") is None  # no unit
    assert from_resolution(0, 20000, "inch") is None
    assert from_resolution(None, None, "") is None


def test_ome_says_the_size_of_the_image_that_is_read() -> None:
    assert from_ome(XML, 1000) == PixelSize(0.25, 0.25, "ome")
    assert from_ome(XML, 300) == PixelSize(9.0, 9.0, "ome")
    assert from_ome(XML, 77) is None
    assert from_ome(XML.replace("250", ""), 1000) is None
    assert from_ome(XML.replace("nm", "furlong"), 1000) is None
    assert from_ome("<Pixels SizeX=", 1000) is None


def test_the_first_plausible_statement_counts() -> None:
    stated = [PixelSize(0.25, 0.26, "aperio"), PixelSize(0.5, 0.5, "tiff tags", fallback=True)]
    assert choose("a.svs", None, stated, **WIDE) == (pytest.approx(0.255), "aperio")
    assert choose("a.svs", 0.4, stated, **WIDE) == (0.4, "sheet")
    screen = PixelSize(352.8, 352.8, "tiff tags", fallback=True)
    assert choose("a.svs", None, [screen, stated[1]], **WIDE) == (0.5, "tiff tags")


@pytest.mark.parametrize(
    ("sheet", "stated", "sentence"),
    [
        (None, [], "states no usable pixel size"),
        (None, [PixelSize(352.8, 352.8, "tiff tags", fallback=True)], "looks like a screen"),
        (None, [PixelSize(0.0, 0.0, "aperio")], "0 um .aperio. is outside 0.05 to 20 um"),
        (None, [PixelSize(0.25, 21.0, "dicom")], "outside"),
        (None, [PixelSize(0.25, 0.263, "dicom")], "0.25 um wide and 0.263 um high"),
        (-1.0, [PixelSize(0.25, 0.25, "aperio")], "-1 um .sheet."),
        (float("nan"), [], "outside"),
    ],
)
def test_anything_else_is_a_verdict(sheet: float | None, stated: list, sentence: str) -> None:
    with pytest.raises(Quarantine, match=f"E_MPP: a.svs: .*{sentence}"):
        choose("a.svs", sheet, stated, **WIDE)


def test_a_pixel_without_width_is_refused_without_any_limits() -> None:
    with pytest.raises(Quarantine, match="E_MPP"):
        choose("a.svs", 0.0, [], mpp_min=0.0, mpp_max=float("inf"))
