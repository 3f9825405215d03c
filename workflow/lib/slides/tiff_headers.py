"""What the directories of a TIFF file say, before any pixel is decoded."""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import tifffile

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_TYPE_BYTES = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NDPI_FOCAL_PLANE = 65424
_REDUCED_OR_MASK = 1 | 4


@dataclass(frozen=True)
class TiffHeader:
    """Size, kind of pixels and number of full-size images."""

    width_px: int
    height_px: int
    dtype: str
    samples: int
    is_ome: bool
    planes: int  # full-size tiled directories; above 1 the file is a stack
    focal_planes: int


def read_header(path: Path) -> TiffHeader | None:
    """The header of a TIFF file, or None when its directories cannot be followed."""
    try:
        with tifffile.TiffFile(path) as tiff:
            first = tiff.pages[0]
            side = [int(first.tags[name].value) for name in ("ImageWidth", "ImageLength")]
            pages = [page for page in tiff.pages if not page.subfiletype & _REDUCED_OR_MASK]
            full = [page for page in pages if page.is_tiled and page.shape == first.shape]
            planes = {page.tags.valueof(_NDPI_FOCAL_PLANE, 0) for page in pages}
            return TiffHeader(
                width_px=side[0],
                height_px=side[1],
                dtype=str(first.dtype),
                samples=first.samplesperpixel,
                is_ome=bool(tiff.is_ome),
                planes=len(full),
                focal_planes=len(planes),
            )
    except Exception:  # tifffile meets damage with every kind of error
        return None


def is_whole(path: Path) -> bool:
    """Whether all directories, and the values they point at, lie inside the file (a cut file: no).

    Readers skip what they miss, so that a cut file may look like a smaller or nameless slide.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        order = "<" if stream.read(2) == b"II" else ">"
        big = stream.read(2) in (b"+\0", b"\0+")
        pointer, count, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
        entry = struct.Struct(f"{order}HH{pointer}{pointer}")
        stream.seek(8 if big else 4)
        seen: set[int] = set()
        try:
            while offset := _number(stream, order + pointer):
                if offset in seen:
                    return False
                seen.add(offset)
                stream.seek(offset)
                entries = stream.read(_number(stream, order + count) * entry.size)
                for _, kind, items, value in entry.iter_unpack(entries):
                    length = items * _TYPE_BYTES.get(kind, 1)
                    if length > inline and value + length > size:
                        return False
        except (struct.error, OverflowError):
            return False
    return bool(seen)


def _number(stream: BinaryIO, kind: str) -> int:
    return struct.unpack(kind, stream.read(struct.calcsize(kind)))[0]
