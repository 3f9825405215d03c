"""Polygons as ASAP reads them: level-0 px (x, y), a group per class.

ASAP has no holes. What is cut out of the polygons is drawn in a group of its own, `exclusion`, as
annotators of CAMELYON do, and whoever reads the file takes it out of everything else. So that this
is exact, what lies inside of a hole is not covered by its exclusion.
"""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from pathlib import Path

import shapely

from workflow.lib.slides.annotations import ASAP_CUT_GROUPS

EXCLUSION = "exclusion"
EXCLUSION_COLOUR = "#999999"


def write_asap(path: Path, polygons: Sequence[shapely.Polygon], *, name: str, colour: str) -> None:
    """Write disjoint `polygons` in the group `name`, drawn in `colour` (#rrggbb).

    A class that is called like a group that readers cut out gets a group "class <name>".
    """
    group = f"class {name}" if name.casefold() in ASAP_CUT_GROUPS else name
    root = ElementTree.Element("ASAP_Annotations")
    drawn = ElementTree.SubElement(root, "Annotations")
    shells = [shapely.Polygon(polygon.exterior) for polygon in polygons]
    cuts = list(_cuts(polygons))
    for number, shell in enumerate(shells, 1):
        _draw(drawn, shell, name=f"{name} {number}", group=group, colour=colour)
    for number, cut in enumerate(cuts, 1):
        _draw(drawn, cut, name=f"{EXCLUSION} {number}", group=EXCLUSION, colour=EXCLUSION_COLOUR)
    groups = ElementTree.SubElement(root, "AnnotationGroups")
    for title, shade in [(group, colour)] + [(EXCLUSION, EXCLUSION_COLOUR)] * bool(cuts):
        said = {"Name": title, "PartOfGroup": "None", "Color": shade}
        ElementTree.SubElement(ElementTree.SubElement(groups, "Group", said), "Attributes")
    ElementTree.indent(root, "\t")
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _cuts(polygons: Sequence[shapely.Polygon]) -> Iterator[shapely.Polygon]:
    """The holes of all polygons, without the polygons that lie in them, none with a hole."""
    tree = shapely.STRtree(polygons)
    for polygon in polygons:
        for ring in polygon.interiors:
            hole = shapely.Polygon(ring)
            inside = [polygons[i] for i in tree.query(hole, predicate="intersects")]
            within = [other for other in inside if other is not polygon]
            rest = hole.difference(shapely.union_all(within)) if within else hole
            yield from _without_holes(rest)


def _without_holes(shape: shapely.Geometry) -> Iterator[shapely.Polygon]:
    """The same area in polygons without holes: cut from top to bottom through each hole."""
    for part in shapely.get_parts(shape):
        if part.geom_type != "Polygon":
            continue  # a line or point that two outlines share
        if not part.interiors:
            yield part
            continue
        left, _, right, _ = part.interiors[0].bounds
        low_x, low_y, high_x, high_y = part.bounds
        middle = (left + right) / 2
        for start, end in ((low_x, middle), (middle, high_x)):
            yield from _without_holes(part.intersection(shapely.box(start, low_y, end, high_y)))


def _draw(
    parent: ElementTree.Element, polygon: shapely.Polygon, *, name: str, group: str, colour: str
) -> None:
    said = {"Name": name, "Type": "Polygon", "PartOfGroup": group, "Color": colour}
    annotation = ElementTree.SubElement(parent, "Annotation", said)
    corners = ElementTree.SubElement(annotation, "Coordinates")
    for order, (x, y) in enumerate(polygon.exterior.coords[:-1]):
        place = {"Order": str(order), "X": f"{x:.2f}", "Y": f"{y:.2f}"}
        ElementTree.SubElement(corners, "Coordinate", place)
