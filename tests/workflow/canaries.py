"""Words that must stay where they were put, and the search for them in whatever a study writes."""

import base64
import gzip
import re
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import cv2
import h5py
import numpy as np
import pyarrow.parquet as pq
import tifffile
import zarr
from PIL import Image

from demo.pyramid import tiles_of

MARK = "zq7canary"  # in every canary, and in nothing else
SECRETS = {
    "HF_TOKEN": f"hf_{MARK}token",
    "AWS_ACCESS_KEY_ID": f"AKIA{MARK}key",
    "AWS_SECRET_ACCESS_KEY": f"{MARK}/secret+of/AWS",
    "AWS_SESSION_TOKEN": f"{MARK}session",
    "HTTPS_PROXY": f"http://user:{MARK}password@127.0.0.1:9",
}
GREEN = (20, 235, 40)  # of label and macro, and of nothing that is drawn of a study
NEAR, SEEN_PX = 24, 16
WORDS = ("patient", "operator", "barcode", "date", "hospital", "machine", "scanner", "file")
WORD = {name: f"{MARK}-{name}" for name in WORDS}
SAID = (
    "Aperio Image Library v11.2.1\n{width}x{height} (256x256) JPEG/RGB|AppMag = 20|MPP = 0.5"
    "|User = {operator}|Date = {date}|Filename = {file}|ScanScope ID = {machine}"
    "|Title = {patient}|ImageID = {barcode}"
)
TAGS = {269: "file", 271: "hospital", 272: "scanner", 285: "barcode", 315: "operator"}
TAGS |= {316: "machine", 33432: "hospital", 700: "patient"}
# What is found in a study of eight slides where nothing got out of them.
PLANTED = [f"cohort/slides/s{number:02d}.tif holds a canary" for number in range(1, 9)]
DATA_URI = re.compile(rb"data:[\w/+.-]+;base64,([A-Za-z0-9+/=]+)")


def plant(slides: Path) -> None:
    """Write drawn slides anew, with canaries in all that is not the tissue.

    Every other one is an Aperio slide with a thumbnail, a label and a macro image; the others are
    generic TIFF. Names of files stay as the sheet has them.
    """
    for number, slide in enumerate(sorted(slides.glob("*.tif"))):
        pixels = tifffile.imread(slide)
        height, width = pixels.shape[:2]
        aperio = number % 2 == 0
        said = SAID.format(width=width, height=height, **WORD) if aperio else WORD["patient"]
        with tifffile.TiffWriter(slide) as file:
            level_0 = {"shape": pixels.shape, "dtype": "uint8", "tile": (256, 256)}
            level_0 |= {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
            tags = [(tag, "s", 0, WORD[name], True) for tag, name in TAGS.items()]
            _add(file, tiles_of(pixels, 256), said, compression="jpeg", extratags=tags, **level_0)
            if aperio:
                _add(file, cv2.resize(pixels, (128, 128)), "Aperio Image Library v11.2.1")
                for name, kind in {"label": 1, "macro": 9}.items():
                    picture = np.full((64, 96, 3), GREEN, np.uint8)
                    text = f"Aperio Image Library v11.2.1\n{name} 96x64|Patient = {WORD['patient']}"
                    _add(file, picture, text, subfiletype=kind)


def _add(file: tifffile.TiffWriter, data: object, said: str, **how: object) -> None:
    how |= {"photometric": "rgb", "metadata": None, "software": False}
    file.write(data, description=said, datetime="1999:09:09 09:09:09", **how)


def find(folder: Path) -> list[str]:
    """Every file below `folder` that holds a canary, or shows a label, as sentences."""
    found = set()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        for content in unpacked(file):
            if any(mark in content for mark in (MARK.encode(), MARK.encode("utf-16-le"))):
                found.add(f"{file.relative_to(folder)} holds a canary")
            elif b"1999:09:09" in content:
                found.add(f"{file.relative_to(folder)} holds the date of a scan")
            elif shows_green(content):
                found.add(f"{file.relative_to(folder)} shows a label or macro image")
    return sorted(found)


def unpacked(file: Path) -> Iterator[bytes]:
    """A file, and what is compressed or encoded in it."""
    content = file.read_bytes()
    yield content
    yield file.name.encode()
    yield _said(content)
    for text in DATA_URI.findall(content):
        yield (embedded := base64.b64decode(text))
        yield _said(embedded)
    if content[:2] == b"\x1f\x8b":
        yield gzip.decompress(content)
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(file) as packed:
            yield from (packed.read(name) for name in packed.namelist())
    elif content[:4] == b"\x89HDF":
        yield from _hdf5(file)
    elif content[:4] == b"PAR1":
        yield str(pq.read_table(file).to_pydict()).encode()
    elif file.name == "zarr.json" and b'"node_type": "array"' in content:
        yield np.asarray(zarr.open_array(file.parent, mode="r")[...]).tobytes()
    elif ".snakemake" in file.parts and "metadata" in file.parts:
        # A record is called by the name of its result, encoded, in folders where that is long.
        name = "".join(file.parts[file.parts.index("metadata") + 1 :])
        yield base64.urlsafe_b64decode(name.replace("@", "") + "==")


def _said(content: bytes) -> bytes:
    """What a PNG says beside its pixels."""
    is_png = content[:4] == b"\x89PNG"
    return repr(Image.open(BytesIO(content)).info).encode() if is_png else b""


def _hdf5(file: Path) -> Iterator[bytes]:
    with h5py.File(file) as opened:
        names = ["/"]
        opened.visit(names.append)
        for name in names:
            yield f"{name} {dict(opened[name].attrs)}".encode()
            if isinstance(opened[name], h5py.Dataset):
                values = np.asarray(opened[name][()])
                yield str(values.tolist()).encode() if values.dtype == object else values.tobytes()


def shows_green(content: bytes) -> bool:
    """Whether a PNG, JPEG or WebP has the colour of the label images."""
    if content[:4] not in (b"\x89PNG", b"RIFF") and content[:3] != b"\xff\xd8\xff":
        return False
    picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    apart = np.abs(picture.astype(int) - GREEN).max(axis=-1)
    return int((apart < NEAR).sum()) >= SEEN_PX
