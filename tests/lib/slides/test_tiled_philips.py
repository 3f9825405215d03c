"""Philips TIFF decoded past OpenSlide: its levels are cropped, their directories are not."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.lib.mutators import damage_tiles, drop_tiles, picture
from tests.lib.slides.test_tiled_tiffs import REGIONS, fast, same
from workflow.lib.slides.slides import open_reader

TILE_PX, SHAPE = 64, (320, 448)


def philips(slide: Path) -> Path:
    """Two levels of JPEG tiles; the second is 160 x 224 px in a directory of 192 x 256."""
    pixels = picture(*SHAPE)
    options = {"tile": (TILE_PX, TILE_PX), "photometric": "rgb", "compression": "jpeg"}
    half = np.pad(pixels[::2, ::2], ((0, 32), (0, 32), (0, 0)), mode="edge")
    with tifffile.TiffWriter(slide) as file:
        about = {"description": _description(), "software": "Philips DP v1.0", "metadata": None}
        file.write(pixels, **about, **options)
        file.write(half, subfiletype=1, metadata=None, software=False, **options)
    return slide


def _description() -> str:
    """The least that makes OpenSlide see a slide of 0.25 um per px, and the spacing of a level."""

    def spacing(mm: float) -> str:
        value = f"&quot;{mm}&quot; &quot;{mm}&quot;"
        return f'<Attribute Name="DICOM_PIXEL_SPACING">{value}</Attribute>'

    levels = "".join(
        f'<DataObject ObjectType="PixelDataRepresentation">{spacing(mm)}</DataObject>'
        for mm in (0.00025, 0.0005)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8" ?><DataObject ObjectType="DPUfsImport">'
        '<Attribute Name="PIM_DP_SCANNED_IMAGES"><Array><DataObject ObjectType="DPScannedImage">'
        f'<Attribute Name="PIM_DP_IMAGE_TYPE">WSI</Attribute>{spacing(0.00025)}'
        f'<Attribute Name="PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE"><Array>{levels}</Array>'
        "</Attribute></DataObject></Array></Attribute></DataObject>"
    )


def test_both_levels_are_those_of_openslide_bit_by_bit(tmp_path: Path) -> None:
    slide = philips(tmp_path / "slide.tiff")
    with fast(slide) as reader, open_reader(slide) as judge:
        assert (reader.vendor, reader.backend) == ("philips", "libjpeg-turbo")
        assert [(each.height, each.width) for each in reader.levels] == [SHAPE, (160, 224)]
        assert reader.jpeg_levels == {0, 1}
        assert judge.mpp == 0.25
    same(slide, [*REGIONS, (-3, -5, 40, 40), (300, 440, 64, 64)])
    same(slide, [(0, 0, 64, 64), (256, 384, 32, 32), (2, 6, 150, 200), (256, 384, 64, 64)], level=1)


def test_what_lies_beyond_a_cropped_level_is_not_shown(tmp_path: Path) -> None:
    with fast(philips(tmp_path / "slide.tiff")) as reader:
        reader._file._judge.read = None  # a call would be an error
        rgb, stored = reader.read_stored((256, 384), (64, 64), level=1)
        assert stored[:32, :32].all() and stored.sum() == 32 * 32
        assert (rgb[~stored] == 255).all()
        assert reader.read_jpeg((128, 192), level=1) is None
        assert reader.read_jpeg((64, 64), level=1) is not None


@pytest.mark.parametrize("harm", [damage_tiles, drop_tiles])
def test_bad_and_missing_tiles_are_what_they_are_to_openslide(harm: object, tmp_path: Path) -> None:
    slide = harm(philips(tmp_path / "slide.tiff"), tiles=[9])
    found = same(slide, [(64, 64, 64, 64), (64, 128, 64, 64), (0, 0, 320, 448)])
    assert [isinstance(row[0], str) for row in found] == [False, *[harm is damage_tiles] * 2]
