"""What a machine has to have: each check gives a sentence, and what to type where it is not so."""

import importlib.metadata
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workflow.lib.jobs.recipe import ROOT

PIN = re.compile(r"([A-Za-z0-9._-]+)==(\S+)")
# ASSUME: results take as much room as the slides and 2 GB more, and 500 files a slide. Measured on
# GlaS with seven methods: 1.4 GB and 440 files an image; whole slides are mostly tiles.
SPARE_BYTES = 2 << 30
FILES_A_SLIDE = 500
INSTALL = "rm .venv/ready; make env"


class Finding(NamedTuple):
    """What a check says, and what to do where that is not as it should be."""

    name: str
    said: str
    remedy: str | None = None


def check_python() -> Finding:
    """Whether this Python is one that pyproject.toml allows."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    least = tuple(map(int, asked.removeprefix(">=").split(".")))
    said = f"{sys.version.split()[0]}, {asked} is asked"
    remedy = "make env PYTHON=python3.11, after rm -r .venv" if sys.version_info < least else None
    return Finding("python", said, remedy)


def check_libraries(pins: Path = ROOT / "envs" / "requirements.txt") -> Finding:
    """Whether the libraries are those that are pinned."""
    pinned = dict(PIN.findall(pins.read_text()))
    others = []
    for name, version in pinned.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "absent"
        if found != version:
            others.append(f"{name} is {found}, not {version}")
    if others:
        return Finding("libraries", "; ".join(others), INSTALL)
    return Finding("libraries", f"{len(pinned)} as envs/requirements.txt has them")


def check_codecs() -> Iterator[Finding]:
    """Whether pixels go through each codec and come back."""
    pixels = np.full((16, 16, 3), 200, np.uint8)

    def jpeg() -> np.ndarray:
        import simplejpeg

        return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(pixels))

    def jpeg2000() -> np.ndarray:
        import imagecodecs

        return imagecodecs.jpeg2k_decode(imagecodecs.jpeg2k_encode(pixels))

    def stores() -> np.ndarray:
        found = importlib.metadata.entry_points(group="zarr.codecs", name="microtome.jpeg")
        return pixels if [entry.load() for entry in found] else pixels[:0]

    def openslide() -> np.ndarray:
        import openslide as library

        return pixels if library.__library_version__ else pixels[:0]

    codecs = {"JPEG": jpeg, "JPEG 2000": jpeg2000, "JPEG stores": stores, "openslide": openslide}
    for name, codec in codecs.items():
        yield check_codec(name, codec, pixels)


def check_codec(name: str, codec: Callable[[], np.ndarray], pixels: np.ndarray) -> Finding:
    """Whether what a codec gives back is near `pixels`."""
    try:
        found = codec()
    except Exception as error:  # a library that does not load may raise anything
        return Finding(name, f"does not work ({error})", INSTALL)
    if found.shape != pixels.shape or np.abs(found.astype(int) - pixels).max() > 2:
        return Finding(name, "does not give pixels back", INSTALL)
    return Finding(name, "works")


def check_room(results: Path, slides: Sequence[int]) -> Iterator[Finding]:
    """Whether the disk of the results has room for those of slides of so many bytes: also files."""
    while not results.exists():
        results = results.absolute().parent
    disk = os.statvfs(results)
    free = disk.f_bavail * disk.f_frsize
    need = sum(slides) + SPARE_BYTES
    said = f"{free / 1e9:.0f} GB free at {results}, some {need / 1e9:.0f} GB are needed"
    remedy = f"make room, or link {results} to a larger disk" if free < need else None
    yield Finding("disk", said, remedy)
    count = FILES_A_SLIDE * max(1, len(slides))
    limited = disk.f_files > 0  # some file systems have no such limit, and say 0
    said = f"{disk.f_favail} files" if limited else "no limit to files"
    remedy = f"make room for {count} files" if limited and disk.f_favail < count else None
    yield Finding("inodes", f"{said} at {results}, some {count} are needed", remedy)


def check_devices(device: str) -> Finding:
    """Where torch would compute, and whether that is what compute.device asks for."""
    try:
        import torch

        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    except Exception as error:  # a library that does not load may raise anything
        return Finding("torch", f"does not load ({error})", INSTALL)
    said = f"{torch.__version__}, {', '.join(names) or 'CPU alone'}, {os.cpu_count()} cores"
    wanted = int(device.partition(":")[2] or 0) if device.startswith("cuda") else -1
    remedy = "set compute.device to auto" if wanted >= len(names) else None
    return Finding("torch", f"{said}; compute.device is {device}", remedy)
