"""Squares for QuPath: where a tile lies, what is measured, ids that stay, the form that is read."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from tests.lib.exports.tabled import NOTHING, empty, table
from workflow.lib.exports.tile_squares import tile_squares
from workflow.lib.maps.polygons import annotations, find_regions, write_geojson

SCHEMA = json.loads(Path(__file__).with_name("geojson.schema.json").read_text())
CLASSES = {"normal": (0, 114, 178), "tumour": (213, 94, 0)}


def squares(made, methods=None):
    shown = {"negev": "probability"} if methods is None else methods
    return tile_squares(made, size_px0=(15, 100), classes=CLASSES, methods=shown)


def check(features):
    """As a file; raises where QuPath would not read it, or a ring is not closed."""
    collection = json.loads(json.dumps({"type": "FeatureCollection", "features": features}))
    Draft202012Validator(SCHEMA).validate(collection)
    for feature in features:
        assert all(ring[0] == ring[-1] for ring in feature["geometry"]["coordinates"])
    ids = [feature["id"] for feature in features]
    assert len(set(ids)) == len(ids)


def test_a_square_by_hand():
    first, last = squares(table())  # the tile between could not be read
    assert first["geometry"]["coordinates"] == [[[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]]
    assert last["geometry"]["coordinates"] == [
        [[95, 10], [100, 10], [100, 15], [95, 15], [95, 10]]  # the slide ends there
    ]
    assert last["properties"] == {
        "objectType": "tile",
        "name": "tile 2",
        "classification": {"name": "tumour", "color": [213, 94, 0]},
        "measurements": {
            "cluster": 1,
            "tissue": 0.25,
            "blur": 9.0,
            "probability normal": 0.25,
            "probability tumour": 0.75,
            "negev probability": 0.12,
        },
    }
    check([first, last])


def test_evidence_is_not_called_probability():
    (first, _) = squares(table(), {"negev": "evidence"})
    assert "negev evidence" in first["properties"]["measurements"]


def test_what_nobody_measured_is_absent():
    found = squares(table(found=NOTHING, fold=None), {})
    check(found)
    for square in found:
        assert "classification" not in square["properties"]
        assert set(square["properties"]["measurements"]) == {"tissue", "blur"}


def test_ids_stay_when_numbers_change_and_differ_between_slides():
    ids = [[square["id"] for square in squares(made)] for made in (table(), table(found=NOTHING))]
    assert ids[0] == ids[1]
    assert not set(ids[0]) & {square["id"] for square in squares(table("b"))}


def test_a_slide_without_tiles_is_an_empty_collection(tmp_path):
    write_geojson(tmp_path / "t.geojson.gz", squares(empty()))
    text = gzip.decompress((tmp_path / "t.geojson.gz").read_bytes())
    assert json.loads(text) == {"type": "FeatureCollection", "features": []}


def test_polygons_of_heatmaps_have_the_form_too():
    mask = np.ones((6, 6), bool)
    mask[2, 3] = False
    regions = find_regions(mask.astype(np.float32), mask, min_pixels=1, simplify_px=0.5)
    about = {"mpp": 1.0, "name": "tumour", "colour": (213, 94, 0), "quantity": "probability"}
    check(annotations(regions, scale_px0=1.7, size_px0=(10, 10), key="a/negev", **about))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda f: f["properties"].update(classification={"name": "tumour"}),  # no colour: throws
        lambda f: f["properties"].update(objectType="square"),
        lambda f: f.update(id="tile-1"),
        lambda f: f["properties"]["measurements"].update(cluster="three"),
    ],
)
def test_the_schema_refuses_what_qupath_does(spoil):
    features = squares(table())
    spoil(features[0])
    with pytest.raises(Exception, match="Failed validating"):
        check(features)
