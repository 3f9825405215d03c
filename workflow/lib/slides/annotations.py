"""Areas that somebody drew on a slide: QuPath GeoJSON, ASAP XML, Aperio XML."""

import gzip
import logging
import math
import xml.etree.ElementTree as ElementTree
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely

from workflow.lib.slides.geojson import read_geometries

log = logging.getLogger(__name__)

# ASAP has no holes; CAMELYON16 and 17 draw what is cut out of a tumour in groups of these names.
ASAP_CUT_GROUPS = {"_2", "exclusion", "normal"}

# Type of an Aperio region that names two opposite corners of the box around an ellipse.
APERIO_ELLIPSE = "2"
ELLIPSE_CORNERS = 128  # of the polygon drawn for one: 0.04 % of its area is lost

# What a damaged or foreign file makes of unpacking, parsing and reading, beside ValueError.
DAMAGE = (TypeError, KeyError, IndexError, AttributeError, OverflowError, RecursionError)
DAMAGE += (EOFError, OSError, zlib.error)


@dataclass(frozen=True)
class Area:
    """Rings (n, 2) float64 of (y, x) in level-0 px; a point inside an odd number of them is in.

    `cut` areas are taken out of all the others.
    """

    rings: tuple[np.ndarray, ...]
    cut: bool = False


def read_areas(path: Path) -> list[Area]:
    """The areas of an annotation file; an empty list where nothing was drawn.

    GeoJSON: a FeatureCollection, a bare array as QuPath writes it, one feature or one geometry,
    also gzipped; holes are kept. XML: ASAP, and Aperio with negative regions as cuts and ellipses
    as polygons. Points and lines enclose nothing and are left out with a warning; areas that lie
    whole within a cut are taken out by it, which a warning says, too.

    Raises ValueError for a file that is neither, and for coordinates that are not finite numbers.
    """
    content = path.read_bytes()
    try:
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
        is_xml = content.lstrip()[:1] == b"<"
        found = list(_xml_areas(content) if is_xml else _geojson_areas(content))
    except (ValueError, *DAMAGE) as error:
        raise ValueError(
            f"{path.name} is not a readable annotation file ({error}); export it again as GeoJSON"
            " from QuPath, or as XML from ASAP or ImageScope"
        ) from error
    kept = [area for _, area in found if area is not None]
    if lines := len(found) - len(kept):
        log.warning("%s: %d points or lines enclose nothing and are left out.", path.name, lines)
    if swallowed := _swallowed(kept):
        log.warning(
            "%s: %d areas lie whole within one that is cut out, and count for nothing; draw what is"
            " cut out around them, if they are meant.", path.name, swallowed,
        )  # fmt: skip
    named = Counter(kind for kind, area in found if area is not None and kind)
    if len(named) > 1:
        names = ", ".join(f"{kind} ({count})" for kind, count in sorted(named.items()))
        log.warning("%s: areas of several classes count alike: %s.", path.name, names)
    return kept


def _swallowed(areas: list[Area]) -> int:
    """How many areas are whole within one cut, so that nothing is left of them."""
    cuts = [shapely.Polygon(area.rings[0]) for area in areas if area.cut]
    shapely.prepare(cuts)
    rings = [area.rings[0] for area in areas if not area.cut and area.rings]
    return sum(
        any(
            shapely.contains_xy(cut, ring[:1]).all() and shapely.contains_xy(cut, ring).all()
            for cut in cuts
        )
        for ring in rings
        if len(ring)
    )


def _geojson_areas(content: bytes) -> Iterator[tuple[str, Area | None]]:
    for name, kind, coordinates in read_geometries(content):
        if kind in ("Polygon", "MultiPolygon"):
            polygons = coordinates if kind == "MultiPolygon" else [coordinates]
            yield from ((name, _polygon(rings)) for rings in polygons)
        else:
            yield name, None


def _polygon(rings: list) -> Area:
    return Area(tuple(_ring([(point[1], point[0]) for point in ring]) for ring in rings))


def _ring(points: list[tuple]) -> np.ndarray:
    ring = np.array([(float(y), float(x)) for y, x in points], dtype=np.float64).reshape(-1, 2)
    if not np.isfinite(ring).all():
        raise ValueError("a coordinate is not a finite number")
    return ring


def _xml_areas(content: bytes) -> list[tuple[str, Area | None]]:
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("it defines XML entities, which no annotation needs")
    if b"\0" in content:  # UTF-16 would hide such a definition from the lines above
        raise ValueError("it is not in UTF-8")
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 (entities are refused above)
    except ElementTree.ParseError as error:
        raise ValueError(f"its XML is broken: {error}") from error
    if root.tag == "ASAP_Annotations":
        return [_asap(annotation) for annotation in root.iter("Annotation")]
    if root.tag == "Annotations":
        return [
            _aperio(annotation.get("Name") or "", region)
            for annotation in root.iter("Annotation")
            for region in annotation.iter("Region")
        ]
    raise ValueError(f"its root element is {root.tag}, not ASAP_Annotations or Annotations")


def _asap(annotation: ElementTree.Element) -> tuple[str, Area | None]:
    group = annotation.get("PartOfGroup") or ""
    if annotation.get("Type") in ("Dot", "PointSet", "Measurement"):
        return group, None
    vertices = sorted(annotation.iter("Coordinate"), key=lambda vertex: int(vertex.get("Order", 0)))
    cut = group.casefold() in ASAP_CUT_GROUPS
    return ("" if cut else group), _outline(vertices, cut=cut)


def _aperio(layer: str, region: ElementTree.Element) -> tuple[str, Area | None]:
    vertices, cut = list(region.iter("Vertex")), region.get("NegativeROA") == "1"
    if region.get("Type") == APERIO_ELLIPSE and len(vertices) == 2:
        return layer, Area((_ellipse(*_corners(vertices)),), cut=cut)
    return layer, _outline(vertices, cut=cut)


def _ellipse(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The ellipse in the box between two corners (y, x), as a ring."""
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)
    return (one + other) / 2 + (other - one) / 2 * np.stack([np.sin(angle), np.cos(angle)], axis=1)


def _outline(vertices: list[ElementTree.Element], *, cut: bool) -> Area | None:
    """The area within ASAP or Aperio vertices, which name X and Y; None for a point or a line."""
    ring = _corners(vertices)
    return Area((ring,), cut=cut) if len(ring) >= 3 else None


def _corners(vertices: list[ElementTree.Element]) -> np.ndarray:
    return _ring([(vertex.get("Y", math.nan), vertex.get("X", math.nan)) for vertex in vertices])
