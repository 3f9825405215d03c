"""Points that somebody set on a slide, each of a class: pixel labels, the sparsest there are."""

import csv
import gzip
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from workflow.lib.evidence.pseudo_masks import BACKGROUND, FOREGROUND, IGNORE
from workflow.lib.slides.annotations import DAMAGE
from workflow.lib.slides.geojson import read_geometries

log = logging.getLogger(__name__)

DRAWINGS = {".geojson", ".json", ".gz"}
COLUMNS = ("y_px0", "x_px0", "class")  # of a table, whose suffix is .tsv
NOWHERE = "background"  # what is of no class may be called so

Found = tuple[str, float, float]  # class, y, x


@dataclass(frozen=True)
class Points:
    """Points of a slide: places (P, 2) float64 of (y, x) in level-0 px, and their classes."""

    places: np.ndarray
    names: Sequence[str]


def read_points(path: Path) -> Points:
    """The points of a file; none where none was set.

    GeoJSON, also gzipped: points and multi-points of QuPath with their classification; what else
    was drawn is left out with a warning. A .tsv table: the columns y_px0, x_px0 and class.

    Raises ValueError for a file that is neither, and for coordinates that are not finite numbers.
    """
    suffix = path.suffix.lower()
    if suffix not in DRAWINGS | {".tsv"}:
        raise ValueError(
            f"{path.name} holds no points that can be read; give GeoJSON from QuPath or a table"
            f" (.tsv) with the columns {', '.join(COLUMNS)}"
        )
    content = path.read_bytes()
    try:
        if suffix == ".tsv":
            found = list(_rows(content.decode("utf-8-sig")))
        else:
            content = gzip.decompress(content) if suffix == ".gz" else content
            found = list(_drawn(content))
    except (ValueError, *DAMAGE) as error:
        raise ValueError(
            f"{path.name} is not a readable file of points ({error}); export it again as GeoJSON"
            f" from QuPath, or as a table with the columns {', '.join(COLUMNS)}"
        ) from error
    kept = [point for point in found if point is not None]
    if others := len(found) - len(kept):
        log.warning("%s: %d areas or lines are no points and are left out.", path.name, others)
    places = np.array([point[1:] for point in kept], np.float64).reshape(-1, 2)
    return Points(places, [name for name, *_ in kept])


def check_inside(points: Points, shape_px0: tuple[int, int]) -> None:
    """Raise ValueError when a point lies outside a slide of `shape_px0` (height, width)."""
    outside = ((points.places < 0) | (points.places > shape_px0)).any(axis=1)
    if outside.any():
        y, x = points.places[outside][0]
        raise ValueError(
            f"a point lies at x = {x:g}, y = {y:g}, outside the slide of {shape_px0[1]} x"
            f" {shape_px0[0]} px; coordinates are level-0 pixels: check that the file belongs to"
            " this slide and was exported at full resolution"
        )


def find_sides(names: Sequence[str], classes: Sequence[str], negative: str | None) -> np.ndarray:
    """FOREGROUND or BACKGROUND of points by the names of their classes, (P,) uint8.

    Every class is foreground but `negative`, which is background, and so is the word background.
    Case does not count. Raises ValueError for a name that is neither, or none.
    """
    sides = {name.casefold(): FOREGROUND for name in classes}
    sides |= {name.casefold(): BACKGROUND for name in (NOWHERE, negative) if name}
    for name in names:
        if name.strip().casefold() not in sides:
            given = f"is of {name!r}, which is no class" if name.strip() else "is of no class"
            raise ValueError(
                f"a point {given} of this study; name it {', '.join(classes)} or {NOWHERE}"
            )
    return np.array([sides[name.strip().casefold()] for name in names], np.uint8)


def meet_tiles(
    places_px: np.ndarray, corners_px: np.ndarray, *, tile_px: int, reach_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """Which points (P, 2) are within `reach_px` of which tiles, corners (N, 2), all in store px.

    Indices of tiles and of points, (M,) each, in the order of points. A point on the far border of
    a tile belongs to the next one.
    """
    tiles = [np.empty(0, np.int64)]
    for place in places_px:  # few, where tiles are many
        offset = place - corners_px
        near = ((offset >= -reach_px) & (offset < tile_px + reach_px)).all(axis=1)
        tiles.append(np.flatnonzero(near))
    met = [len(found) for found in tiles[1:]]
    return np.concatenate(tiles), np.repeat(np.arange(len(places_px)), met)


def draw_discs(
    centres_px: np.ndarray, sides: np.ndarray, *, tile_px: int, radius_px: float
) -> np.ndarray:
    """A tile's labels (t, t) uint8: the side of the disc that a pixel is in, else 255 (ignore).

    centres_px (P, 2) of (y, x) in px of the tile, pixel (i, j) having its centre at
    (i + 0.5, j + 0.5); a disc holds the pixels with a centre within `radius_px`, and always the
    one that the point is in. Where discs of both sides meet is no label.
    """
    covered = np.zeros((2, tile_px, tile_px), bool)
    middles = np.arange(tile_px) + 0.5
    for (y, x), side in zip(centres_px, sides, strict=True):
        near = (middles[:, None] - y) ** 2 + (middles[None] - x) ** 2 <= radius_px**2
        covered[side] |= near
        row, column = math.floor(y), math.floor(x)
        if 0 <= row < tile_px and 0 <= column < tile_px:
            covered[side, row, column] = True
    labels = np.full((tile_px, tile_px), IGNORE, np.uint8)
    for side in (BACKGROUND, FOREGROUND):
        labels[covered[side] & ~covered[1 - side]] = side
    return labels


def _rows(text: str) -> Iterator[Found]:
    reader = csv.DictReader(text.splitlines(), delimiter="\t", restval="")
    if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
        raise ValueError(f"it has no column {missing[0]}")
    for row in reader:
        yield _point(row["class"], (row["x_px0"], row["y_px0"]))


def _drawn(content: bytes) -> Iterator[Found | None]:
    for name, kind, coordinates in read_geometries(content):
        if kind in ("Point", "MultiPoint"):
            places = coordinates if kind == "MultiPoint" else [coordinates]
            yield from (_point(name, place) for place in places)
        else:
            yield None


def _point(name: str, place: Sequence[float | str]) -> Found:
    x, y = float(place[0]), float(place[1])
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError("a coordinate is not a finite number")
    return name, y, x
