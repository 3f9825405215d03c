"""Make damaged and odd slides from a good one, for tests/cases.

A step takes the slide file it starts from, changes or replaces it, and returns the file to read.
"""

import os
import re
import time
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from tests.synthetic import write_slide

_WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 16: 8}  # bytes of the TIFF types that the steps edit


def picture(height: int = 300, width: int = 420) -> np.ndarray:
    """Pink tissue on white glass, (height, width, 3) uint8, the same every time."""
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:height, :width]
    inside = ((y - height / 2) / height) ** 2 + ((x - width / 2) / width) ** 2 < 0.16
    pixels = np.where(inside[..., None], (196, 120, 170), (243, 242, 244))
    return np.clip(pixels + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def good(path: Path, *, mpp: float | None = 0.5, **options: object) -> Path:
    """The slide that every case starts from: 420 x 300 px, tiles of 64 px, four levels."""
    write_slide(path, picture(), mpp=mpp, tile_px=64, **options)
    return path


# Whole files


def empty(slide: Path) -> Path:
    slide.write_bytes(b"")
    return slide


def fill(slide: Path, *, text: str) -> Path:
    slide.write_text(text)
    return slide


def noise(slide: Path) -> Path:
    slide.write_bytes(np.random.default_rng(1).bytes(50_000))
    return slide


def cut(slide: Path, *, share: float) -> Path:
    os.truncate(slide, int(slide.stat().st_size * share))
    return slide


def cut_bytes(slide: Path, *, count: int) -> Path:
    os.truncate(slide, slide.stat().st_size - count)
    return slide


def rename(slide: Path, *, name: str) -> Path:
    return slide.rename(slide.with_name(name))


def remove(slide: Path) -> Path:
    slide.unlink()
    return slide


def folder(slide: Path) -> Path:
    slide.unlink()
    slide.mkdir()
    return slide


def pipe(slide: Path) -> Path:
    """A file that never answers, as on storage that hangs."""
    slide.unlink()
    os.mkfifo(slide)
    return slide


def forbid(slide: Path) -> Path:
    slide.chmod(0)
    return slide


def date_ahead(slide: Path, *, days: float) -> Path:
    then = time.time() + days * 86400
    os.utime(slide, (then, then))
    return slide


def mirax(slide: Path, *, with_folder: bool) -> Path:
    """The preview image of a MIRAX slide, without what belongs to it."""
    slide.unlink()
    alone = slide.with_suffix(".mrxs")
    Image.fromarray(picture(40, 50)).save(alone, "JPEG")
    if with_folder:
        alone.with_suffix("").mkdir()
    return alone


# Stored tiles and tags of level 0


def damage_tiles(slide: Path, *, tiles: list[int] | None = None, level: int = 0) -> Path:
    """Random bytes instead of some tiles (of all, when none are named)."""
    rng = np.random.default_rng(2)
    with tifffile.TiffFile(slide) as tiff:
        offsets, counts = tiff.pages[level].dataoffsets, tiff.pages[level].databytecounts
    with slide.open("r+b") as stream:
        for tile in range(len(offsets)) if tiles is None else tiles:
            stream.seek(offsets[tile])
            stream.write(rng.bytes(counts[tile]))
    return slide


def flip_bit(slide: Path, *, tile: int) -> Path:
    """One other bit in the middle of a tile."""
    with tifffile.TiffFile(slide) as tiff:
        page = tiff.pages[0]
        middle = page.dataoffsets[tile] + page.databytecounts[tile] // 2
    with slide.open("r+b") as stream:
        stream.seek(middle)
        byte = stream.read(1)[0]
        stream.seek(middle)
        stream.write(bytes([byte ^ 0x10]))
    return slide


def drop_tiles(slide: Path, *, tiles: list[int] | None = None, levels: int = 1) -> Path:
    """Tiles without bytes (sparse), all of them when none are named, on the first `levels`."""
    for level in range(levels):
        _edit_tag(slide, "TileByteCounts", tiles, 0, level)
    return slide


def point_beyond(slide: Path, *, tile: int) -> Path:
    """A tile that is said to lie behind the end of the file."""
    return _edit_tag(slide, "TileOffsets", [tile], 0x7FFFFFFF, 0)


def set_tags(slide: Path, *, tags: dict[str, int]) -> Path:
    """Other numbers in tags of level 0 that hold one number."""
    for name, value in tags.items():
        with tifffile.TiffFile(slide, mode="r+b") as tiff:
            tiff.pages[0].tags[name].overwrite(value, dtype="I")
    return slide


def focal_plane(slide: Path, *, level: int) -> Path:
    """A Hamamatsu directory that lies in another focal plane."""
    with tifffile.TiffFile(slide, mode="r+b") as tiff:
        tiff.pages[level].tags[65424].overwrite(3000)
    return slide


def replace(slide: Path, *, old: str, new: str) -> Path:
    """Other text of the same length."""
    content = slide.read_bytes()
    if len(old) != len(new) or old.encode() not in content:
        raise ValueError(f"{old!r} cannot become {new!r} in {slide.name}")
    slide.write_bytes(content.replace(old.encode(), new.encode()))
    return slide


def _edit_tag(slide: Path, name: str, items: list[int] | None, value: int, level: int) -> Path:
    with tifffile.TiffFile(slide) as tiff:
        tag = tiff.pages[level].tags[name]
        width, start, order = _WIDTHS[int(tag.dtype)], tag.valueoffset, tiff.byteorder
    with slide.open("r+b") as stream:
        for item in range(tag.count) if items is None else items:
            stream.seek(start + width * item)
            stream.write(value.to_bytes(width, "little" if order == "<" else "big"))
    return slide


# Other slides


def aperio(slide: Path, *, mpp: str = "0.5000", magnification: int = 20) -> Path:
    """A one-level Aperio slide, which says its pixel size in words."""
    said = f"Aperio Image Library v11\n420x300 (64x64) JPEG/RGB|AppMag = {magnification}"
    slide.unlink()
    svs = slide.with_suffix(".svs")
    tifffile.imwrite(
        svs,
        picture(),
        tile=(64, 64),
        photometric="rgb",
        compression="jpeg",
        description=f"{said}|MPP = {mpp}|User = canary-of-a-name",
        metadata=None,
        software=False,
    )
    return svs


def plain(slide: Path, **options: object) -> Path:
    """The good slide again, written with other options of `write_slide`."""
    return good(slide, **options)


def resolution(slide: Path, *, x: float, y: float, unit: str) -> Path:
    return _tiff(slide, picture(), tile=(64, 64), resolution=(x, y), resolutionunit=unit)


def white(slide: Path) -> Path:
    write_slide(slide, np.full((300, 420, 3), 245, np.uint8), mpp=0.5, tile_px=64)
    return slide


def dark(slide: Path) -> Path:
    """Blue nuclei on black, as a fluorescence scanner exports them."""
    pixels = np.full((300, 420, 3), (1, 1, 6), np.uint8)
    pixels[::7, ::5] = (20, 30, 240)
    write_slide(slide, pixels, mpp=0.5, tile_px=64)
    return slide


def black_border(slide: Path, *, share: float) -> Path:
    """Black where nothing was scanned, as some scanners write it."""
    pixels = picture()
    pixels[: round(300 * share)] = 0
    write_slide(slide, pixels, mpp=0.5, tile_px=64)
    return slide


def transparent(slide: Path) -> Path:
    pixels = np.dstack([picture(), np.zeros((300, 420), np.uint8)])
    return _tiff(slide, pixels, tile=(64, 64), extrasamples=["unassalpha"])


def planes(slide: Path, *, count: int, dtype: str, channels: int = 3, ome: bool = False) -> Path:
    """`count` images of one size in a file; `channels` 1 is grey."""
    pixels = picture().astype(dtype)
    pixels = pixels if channels == 3 else pixels[..., 0]
    stack = np.stack([pixels] * count) if count > 1 else pixels
    axes = ("ZYX" if count > 1 else "YX") + ("S" if channels == 3 else "")
    return _tiff(
        slide.with_name("stack.ome.tif") if ome else slide,
        stack,
        tile=(64, 64),
        photometric="rgb" if channels == 3 else "minisblack",
        metadata={"axes": axes},
        ome=ome,
    )


def ome(
    slide: Path,
    *,
    unit: str = "µm",
    size: float = 0.5,
    size_y: float | None = None,
    compression: str | None = None,
) -> Path:
    """An OME-TIFF with its smaller level in a SubIFD."""
    slide.unlink()
    target = slide.with_name("slide.ome.tif")
    pixels = picture()
    sizes = {"PhysicalSizeX": size, "PhysicalSizeY": size_y or size}
    units = {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    with tifffile.TiffWriter(target, ome=True) as file:
        options = {"tile": (64, 64), "photometric": "rgb", "compression": compression}
        file.write(pixels, subifds=1, metadata={"axes": "YXS", **sizes, **units}, **options)
        file.write(pixels[::2, ::2], subfiletype=1, **options)
    return target


def striped(slide: Path, *, rows: int = 16) -> Path:
    return _tiff(slide, picture(), rowsperstrip=rows, compression="zlib")


def flat(slide: Path, *, name: str, mode: str = "RGB") -> Path:
    slide.unlink()
    target = slide.with_name(name)
    kind = "JPEG" if "jp" in target.suffix else target.suffix[1:].upper()
    Image.fromarray(picture()).convert(mode).save(target, kind if kind != "SVS" else "PNG")
    return target


def half_an_image(slide: Path) -> Path:
    """A JPEG whose second half was lost."""
    return cut(flat(slide, name="half.jpg"), share=0.5)


def bomb(slide: Path, *, side: int, mode: str = "1") -> Path:
    """A few kB of PNG that would decode to `side` x `side` pixels."""
    slide.unlink()
    target = slide.with_name("bomb.png")
    Image.new(mode, (side, side)).save(target, compress_level=1)
    return target


def far_tile(slide: Path) -> Path:
    """A BigTIFF with one tile behind 5 GiB; the hole between takes no room on the disk."""
    _tiff(slide, picture(), tile=(64, 64), bigtiff=True, resolution=(2e4, 2e4))
    with tifffile.TiffFile(slide) as tiff:
        offset, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    with slide.open("r+b") as stream:
        stream.seek(offset)
        tile = stream.read(count)
        stream.seek(5 << 30)
        stream.write(tile)
    return _edit_tag(slide, "TileOffsets", [0], 5 << 30, 0)


def shake(slide: Path, *, seed: int) -> Path:
    """A few random bytes in the header and the directories."""
    rng = np.random.default_rng(seed)
    with tifffile.TiffFile(slide) as tiff:
        spans = [(0, 16)] + [(page.offset, 12 * len(page.tags) + 6) for page in tiff.pages]
    with slide.open("r+b") as stream:
        for start, length in (spans[i] for i in rng.integers(len(spans), size=3)):
            stream.seek(start + int(rng.integers(length)))
            stream.write(rng.bytes(int(rng.integers(1, 4))))
    return slide


def _tiff(slide: Path, pixels: np.ndarray, **options: object) -> Path:
    centimetre = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}  # 0.5 um
    slide.unlink(missing_ok=True)
    tifffile.imwrite(slide, pixels, **{"photometric": "rgb", **centimetre, **options})
    return slide


STEPS = {
    name: step
    for name, step in globals().items()
    if re.match("[a-z]", name) and getattr(step, "__module__", "") == __name__
}
