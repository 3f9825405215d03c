"""GeoJSON as QuPath writes it: geometries, each with the class of its feature."""

import json
from collections.abc import Iterator

GEOMETRIES = ("Polygon", "MultiPolygon", "Point", "MultiPoint", "LineString", "MultiLineString")


def read_geometries(content: bytes) -> list[tuple[str, str, list]]:
    """Class ("" for none), type of GEOMETRIES and coordinates (x, y) of all that is in a file.

    A FeatureCollection, a bare array, one feature, one geometry or a collection of geometries.
    Raises ValueError for what is no JSON and for an unknown type; KeyError, TypeError and the like
    for JSON of another shape.
    """
    return list(_walk(json.loads(content.decode("utf-8-sig")), ""))


def _walk(node: object, name: str) -> Iterator[tuple[str, str, list]]:
    if isinstance(node, list):
        for item in node:
            yield from _walk(item, name)
        return
    match node["type"]:
        case "FeatureCollection":
            yield from _walk(node["features"], name)
        case "Feature":
            if node["geometry"] is not None:
                yield from _walk(node["geometry"], _class_name(node.get("properties") or {}))
        case "GeometryCollection":
            yield from _walk(node["geometries"], name)
        case kind if kind in GEOMETRIES:
            yield name, kind, node["coordinates"]
        case other:
            raise ValueError(f"{other!r} is not a GeoJSON type")


def _class_name(properties: dict) -> str:
    """The class of a QuPath feature: a bare string, or an object with a name or names; or ""."""
    given = properties.get("classification") or ""
    if isinstance(given, dict):
        given = given.get("name") or ": ".join(given.get("names") or [])
    return str(given)
