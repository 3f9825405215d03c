"""What a slide is and whether it can be used: a little of everything is read, once."""

import hashlib
import time
from pathlib import Path

import numpy as np

from workflow.lib.jobs.verdicts import BadPixels, Quarantine
from workflow.lib.slides.slides import SlideReader, open_reader, stamp
from workflow.lib.slides.surveys import brightness, level_for, thumbnail_shape

SAMPLE_TILES = 64  # at level 0: with 1% of the tiles damaged, one of them is met in half the slides
SURVEY_SIDE_PX = 512
SURVEY_PX = 64_000_000  # a level above this is sampled: the check must not decode whole slides

# ASSUME: stained tissue on glass is bright. The darkest of 142 H&E crops at hand has a median
# luminance of 101, a DAPI scan has 9. Fluorescence drawn on black stays far below this.
BRIGHTFIELD_FLOOR = 64

# A microscope of magnification M has about 10 / M um per pixel.
_MPP_OF_1X = 10.0
_MAX_DISAGREEMENT = 1.25
_SUFFIXES = {
    "aperio": {".svs", ".tif", ".tiff"},
    "dicom": {".dcm", ""},
    "generic-tiff": {".tif", ".tiff", ".btf"},
    "hamamatsu": {".ndpi", ".vms", ".vmu"},
    "ome-tiff": {".tif", ".tiff", ".btf"},
    "tiff": {".tif", ".tiff", ".btf"},
    "png": {".png"},
    "jpeg": {".jpg", ".jpeg"},
    "bmp": {".bmp"},
}


def inspect_slide(
    path: Path,
    *,
    mpp: float | None,
    sha256: str | None,
    max_side_px0: int,
    mpp_min: float,
    mpp_max: float,
    max_bad_tiles: float,
    allow_fluorescence: bool,
) -> dict:
    """Facts about a readable slide; raises Quarantine for any other. Runs in this process."""
    before = stamp(path)
    limits = {"mpp_min": mpp_min, "mpp_max": mpp_max, "max_side_px0": max_side_px0}
    with open_reader(path, mpp=mpp, allow_fluorescence=allow_fluorescence, **limits) as reader:
        if sha256:
            _check_hash(path, sha256)
        warnings = _look(reader, max_bad_tiles, allow_fluorescence)
        facts = {
            "width_px0": reader.width_px0,
            "height_px0": reader.height_px0,
            "mpp": reader.mpp,
            "mpp_source": reader.mpp_source,
            "vendor": reader.vendor,
            "backend": reader.backend,
            "levels": [
                {"width": level.width, "height": level.height, "downsample": level.downsample}
                for level in reader.levels
            ],
            "warnings": [*warnings, *_oddities(reader)],
        }
    if stamp(path) != before:
        raise Quarantine("E_IO", f"{path.name}: the file changed while it was read.")
    return facts


def too_many_bad(bad: int, tiles: int, max_bad_tiles: float) -> bool:
    """Whether `bad` unreadable tiles of `tiles` are more than the share `max_bad_tiles`.

    One bad tile alone is always tolerated, unless there is no other.

    >>> too_many_bad(1, 130, 0.001), too_many_bad(2, 130, 0.001), too_many_bad(1, 1, 0.001)
    (False, True, True)
    """
    return bad > max(1, max_bad_tiles * tiles) or 0 < bad == tiles


def _look(reader: SlideReader, max_bad_tiles: float, allow_fluorescence: bool) -> list[str]:
    """Read a little of everything; what is odd about the pixels, or Quarantine."""
    name = reader.path.name
    shape = thumbnail_shape((reader.height_px0, reader.width_px0), SURVEY_SIDE_PX)
    coarse = reader.levels[level_for(reader, shape)]
    survey = None
    if coarse.width * coarse.height <= SURVEY_PX:
        survey = reader.survey(SURVEY_SIDE_PX)
    levels = [level for level in range(len(reader.levels)) if not survey or level != survey.level]
    tiles, bad, pixels = _sample(reader, levels)
    if survey is None and pixels and not any(stored.any() for _, stored in pixels):
        survey = reader.survey(SURVEY_SIDE_PX)  # quick: hardly anything is stored
    if survey is not None:
        tiles, bad = tiles + survey.tiles, bad + survey.bad
        pixels = [(survey.rgb, survey.stored)]
    if too_many_bad(bad, tiles, max_bad_tiles):
        raise Quarantine("E_TILE", f"{name}: tiles that cannot be decoded: {bad} of {tiles} tried.")
    rgb = np.concatenate([colour.reshape(-1, 3) for colour, _ in pixels])
    stored = np.concatenate([share.ravel() for _, share in pixels])
    if not stored.any():
        raise Quarantine("E_NO_PIXELS", f"{name}: no pixel is stored or visible.")
    bright = brightness(rgb, stored)
    if bright < BRIGHTFIELD_FLOOR and not allow_fluorescence:
        raise Quarantine(
            "E_MODALITY",
            f"{name}: the picture is dark (median brightness {bright:.0f} of 255), as fluorescence"
            " is; a stained slide on glass is bright.",
        )
    warnings = []
    if bad:
        warnings.append(f"Tiles that cannot be decoded: {bad} of {tiles} tried; they are left out.")
    missing = 1 - float(stored.mean()) - (survey.damaged if survey else 0)
    if missing > 0.001:
        warnings.append(f"{missing:.1%} of the slide stores no pixels; it is read as background.")
    if bright < BRIGHTFIELD_FLOOR:
        warnings.append("The picture is dark, as fluorescence is; it is allowed by the settings.")
    return warnings


def _sample(
    reader: SlideReader, levels: list[int]
) -> tuple[int, int, list[tuple[np.ndarray, np.ndarray]]]:
    """Tiles tried, tiles that failed, and the (rgb, stored) of those of level 0 that did not."""
    tried, bad, pixels = 0, 0, []
    for level in levels:
        found = reader.levels[level]
        side = [min(length, 1024) for length in reader.tile_shapes[level]]
        grid = (-(-found.height // side[0]), -(-found.width // side[1]))
        count = min(SAMPLE_TILES if level == 0 else 1, grid[0] * grid[1])
        # The same scattered tiles every time; a regular stride could follow the columns.
        for place in np.random.default_rng(0).choice(grid[0] * grid[1], count, replace=False):
            corner = (int(place) // grid[1] * side[0], int(place) % grid[1] * side[1])
            origin_px0 = tuple(round(start * found.downsample) for start in corner)
            shape = (min(side[0], found.height - corner[0]), min(side[1], found.width - corner[1]))
            tried += 1
            try:
                rgb, stored = reader.read_stored(origin_px0, shape, level)
            except BadPixels:
                bad += 1
            else:
                pixels += [(rgb, stored)] if level == 0 else []
    return tried, bad, pixels


def _oddities(reader: SlideReader) -> list[str]:
    """What a pathologist should know of a slide that is otherwise fine."""
    path, warnings = reader.path, []
    if reader.magnification and reader.mpp_source != "sheet":
        ratio = reader.mpp * reader.magnification / _MPP_OF_1X
        if max(ratio, 1 / ratio) > _MAX_DISAGREEMENT:
            warnings.append(
                f"{reader.mpp:.4g} um per pixel does not fit the stated magnification"
                f" {reader.magnification:g}x; check which of them is right."
            )
    if path.suffix.lower() not in _SUFFIXES.get(reader.vendor, {path.suffix.lower()}):
        warnings.append(f"The content is {reader.vendor}, whatever the name {path.name} says.")
    if reader.colours_converted:
        warnings.append("The colours are YCbCr labelled as RGB; they are converted.")
    if path.stat().st_mtime > time.time() + 60:
        warnings.append("The file is dated in the future; check the clock, then touch the file.")
    return warnings


def _check_hash(path: Path, sha256: str) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256.lower():
        raise Quarantine(
            "E_HASH", f"{path.name}: sha256 is {found[:12]}..., the sheet says {sha256[:12]}..."
        )
