"""Tiles as squares for QuPath, whose measurement maps colour them by what was found."""

import uuid
from collections.abc import Mapping, Sequence

import pyarrow as pa

RGB = tuple[int, int, int]

_NAMES = uuid.uuid5(uuid.NAMESPACE_URL, "microtome/tile")


def tile_squares(
    table: pa.Table,
    *,
    size_px0: tuple[int, int],
    classes: Mapping[str, RGB],
    methods: Mapping[str, str],
) -> list[dict]:
    """GeoJSON features of objectType `tile` from a table of `tile_tables`, level-0 px (x, y).

    classes: class -> its colour; methods: method -> what its map shows, probability or evidence.
    Squares end at the border of the slide, `size_px0` (height, width). The class of a square is the
    likeliest one. Tiles that could not be read are left out, and a measurement that nobody made is
    absent. Ids follow from slide and tile alone, so that they stay when numbers change.
    """
    measured = {"cluster": "cluster", "tissue": "tissue", "blur": "blur"}
    measured |= {f"probability_{name}": f"probability {name}" for name in classes}
    measured |= {f"mean_{method}": f"{method} {shown}" for method, shown in methods.items()}
    return [
        _square(row, size_px0, classes, measured) for row in table.to_pylist() if not row["bad"]
    ]


def _square(
    row: dict, size_px0: tuple[int, int], classes: Mapping[str, RGB], measured: Mapping[str, str]
) -> dict:
    left, top, side = row["x_px0"], row["y_px0"], row["side_px0"]
    right, bottom = (
        min(start + side, end) for start, end in ((left, size_px0[1]), (top, size_px0[0]))
    )
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    properties: dict = {
        "objectType": "tile",
        "name": f"tile {row['tile_id']}",
        "measurements": {
            name: round(row[column], 2)
            for column, name in measured.items()
            if row[column] is not None
        },
    }
    if likely := _likeliest(row, list(classes)):
        properties["classification"] = {"name": likely, "color": list(classes[likely])}
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMES, f"{row['slide']}/{row['tile_id']}")),
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[round(float(x), 2), round(float(y), 2)] for x, y in corners]],
        },
        "properties": properties,
    }


def _likeliest(row: dict, classes: Sequence[str]) -> str | None:
    known = [name for name in classes if row[f"probability_{name}"] is not None]
    return max(known, key=lambda name: row[f"probability_{name}"], default=None)
