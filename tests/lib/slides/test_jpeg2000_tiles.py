"""JPEG 2000 tiles decoded past OpenSlide: its pixels and its failures."""

import struct
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from benchmarks.jpeg2000_slides import RGB, YCBCR, write_jpeg2000
from tests.lib.mutators import damage_tiles, drop_tiles, picture
from tests.lib.slides.test_tiled_tiffs import OUTSIDE, REGIONS, fast, same
from tests.lib.tiles.test_tiling import make_spec
from workflow.lib.slides import jpeg2000_tiles
from workflow.lib.slides.jpeg2000_tiles import to_rgb
from workflow.lib.slides.resampling import resample
from workflow.lib.slides.slides import open_reader
from workflow.lib.tiles.tile_pixels import read_tiles, why_not_copied
from workflow.lib.tiles.tiling import grid

KINDS = [(RGB, 40), (YCBCR, 40), (RGB, 0), (YCBCR, 0)]


def write(folder: Path, compression: int = YCBCR, level: float = 40) -> Path:
    pixels = picture()
    return write_jpeg2000(
        folder / "slide.svs", pixels, tile_px=64, compression=compression, level=level
    )


def backend(slide: Path) -> str:
    with fast(slide) as reader:
        return reader.backend


@pytest.mark.parametrize(("compression", "level"), KINDS)
def test_regions_are_those_of_openslide_bit_by_bit(
    compression: int, level: float, tmp_path: Path
) -> None:
    slide = write(tmp_path, compression, level)
    assert backend(slide) == "OpenJPEG"
    same(slide, REGIONS + OUTSIDE)
    with fast(slide) as reader:
        found = reader.read((0, 0), (300, 420)).astype(int)
    assert abs(found.mean((0, 1)) - picture().mean((0, 1))).max() < 2


def test_every_pair_of_chroma_is_that_of_openslide(tmp_path: Path) -> None:
    cb, cr = np.mgrid[:256, :256].astype(np.uint8)
    luma = np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8)
    planes = np.stack([luma, cb, cr])
    ycbcr = np.ascontiguousarray(planes.transpose(1, 2, 0))
    encode = partial(imagecodecs.jpeg2k_encode, level=0, codecformat="j2k", mct=False)
    slide = tmp_path / "slide.svs"
    tifffile.imwrite(
        slide,
        iter([encode(ycbcr, reversible=True)]),
        shape=ycbcr.shape,
        dtype="uint8",
        tile=(256, 256),
        photometric="rgb",
        compression=YCBCR,
        description="Aperio Image Library v11\n256x256 J2K|AppMag = 20|MPP = 0.5",
        metadata=None,
    )
    with open_reader(slide, mpp=0.5) as judge:
        assert np.array_equal(judge.read((0, 0), (256, 256)), to_rgb(planes))
    assert backend(slide) == "OpenJPEG"


def test_openslide_is_not_asked_for_what_the_tiles_give(tmp_path: Path) -> None:
    with fast(write(tmp_path)) as reader:
        reader._file._judge.read = None  # a call would be an error
        whole = reader.read((0, 0), (300, 420))
        half = reader.read_half((0, 0), (150, 210))
        assert np.array_equal(half, resample(whole, (0, 0), 2.0, (150, 210)))
        assert reader.read_half((0, 0), (8, 8), rough=True) is None
        assert reader.jpeg_levels == frozenset()
        spec = make_spec(300, 420, slide_mpp=0.5, mpp=0.5, tile_px=64, stride_px=64)
        assert why_not_copied(reader, spec) == "its own tiles are no JPEGs that can be copied"


@pytest.mark.parametrize("harm", [damage_tiles, drop_tiles])
def test_bad_and_missing_tiles_are_what_they_are_to_openslide(harm: object, tmp_path: Path) -> None:
    slide = harm(write(tmp_path), tiles=[9])
    assert backend(slide) == "OpenJPEG"
    found = same(slide, [(64, 64, 64, 64), (64, 128, 64, 64), (0, 0, 300, 420)])
    assert [isinstance(row[0], str) for row in found] == [False, *[harm is damage_tiles] * 2]


def test_flipped_bits_pass_or_fail_as_they_do_for_openslide(tmp_path: Path) -> None:
    slide = write(tmp_path)
    whole = slide.read_bytes()
    with tifffile.TiffFile(slide) as tiff:
        start, count = tiff.pages[0].dataoffsets[16], tiff.pages[0].databytecounts[16]
    head = whole.index(b"\xff\x93", start) - start  # the headers end where the data begins
    refused = 0
    rng = np.random.default_rng(0)
    for place in [*rng.integers(0, head, 30), *rng.integers(head, count, 30)]:
        broken = bytearray(whole)
        broken[start + place] ^= 1 << int(place) % 8
        slide.write_bytes(broken)
        refused += isinstance(same(slide, [(128, 128, 64, 64)])[0][0], str)
    assert 0 < refused < 60


def test_tiles_are_the_same_with_and_without(tmp_path: Path) -> None:
    slide = damage_tiles(write(tmp_path), tiles=[9])
    for scale in (1.0, 2.0, 1.37):
        spec = make_spec(300, 420, slide_mpp=0.5, mpp=0.5 * scale, tile_px=48, stride_px=40)
        with fast(slide) as reader, open_reader(slide, mpp=0.5) as judge:
            found, wanted = (list(read_tiles(r, spec, grid(spec))) for r in (reader, judge))
        assert any(tile is None for tile in found)
        for one, other in zip(found, wanted, strict=True):
            assert one is other is None or np.array_equal(one, other)


def test_colours_that_differ_are_left_to_openslide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jpeg2000_tiles, "_RGB", YCBCR)
    monkeypatch.setattr(jpeg2000_tiles, "_YCBCR", RGB)
    slide = write(tmp_path)
    assert backend(slide) == "openslide"
    same(slide, REGIONS)


def test_subsampled_colours_are_left_to_openslide(tmp_path: Path) -> None:
    slide = write(tmp_path, level=0)
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        places = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    y, x = np.mgrid[:64, :64]
    planes = [np.uint8(2 * y + x), np.uint8(100 + y)[:, ::2], np.uint8(200 - x)[:, ::2]]
    tile = _subsampled([np.ascontiguousarray(plane) for plane in planes])
    assert len(tile) <= min(count for _, count in places)
    with slide.open("r+b") as stream:
        for offset, count in places:
            stream.seek(offset)
            stream.write(tile.ljust(count, b"\0"))
    assert backend(slide) == "openslide"
    with open_reader(slide, mpp=0.5) as judge:
        found = judge.read((0, 0), (64, 64)).astype(int)
    wanted = to_rgb(np.stack([planes[0], *(np.repeat(p, 2, axis=1) for p in planes[1:])]))
    assert np.array_equal(found, wanted)


def _subsampled(planes: list[np.ndarray]) -> bytes:
    """A codestream of luma and of chroma half as wide, put together from one of each."""
    streams = [
        imagecodecs.jpeg2k_encode(plane, level=0, codecformat="j2k", reversible=True, resolutions=2)
        for plane in planes
    ]
    size = streams[0].index(b"\xff\x51")
    (length,) = struct.unpack(">H", streams[0][size + 2 : size + 4])
    fixed = streams[0][size + 4 : size + length - 1]  # until the number of components
    components = b"".join(bytes([7, step, 1]) for step in (1, 2, 2))
    siz = b"\xff\x51" + struct.pack(">H", length + 6) + fixed[:-2] + b"\0\3" + components
    start, end = streams[0].index(b"\xff\x52"), streams[0].index(b"\xff\x90")
    rest = bytearray(streams[0][start:end])
    rest[5] = 4  # component by component
    data = b"".join(s[s.index(b"\xff\x93") + 2 : -2] for s in streams)
    part = b"\xff\x90" + struct.pack(">HHIBB", 10, 0, len(data) + 14, 0, 1) + b"\xff\x93"
    return b"\xff\x4f" + siz + bytes(rest) + part + data + b"\xff\xd9"
