"""Polygons: exact round trips raster -> polygon -> raster, and what QuPath must be able to read."""

import gzip
import json
import uuid

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workflow.lib.maps.polygons import annotations, find_regions, write_geojson

CLASS = {"name": "tumour", "colour": (213, 94, 0), "key": "slide-1/negev"}
CLASS |= {"quantity": "probability"}


def regions_of(mask, *, min_pixels=1, simplify_px=0.0):
    return find_regions(
        mask.astype(np.float32), mask, min_pixels=min_pixels, simplify_px=simplify_px
    )


def rasterised(regions, shape):
    """The pixels whose centre lies in a region."""
    y, x = (np.indices(shape) + 0.5).reshape(2, -1)
    inside = np.zeros(y.shape, bool)
    for region in regions:
        inside |= shapely.contains_xy(region.polygon, x, y)
    return inside.reshape(shape)


def smooth_blobs(seed, shape=(300, 260)):
    noise = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 6) > 0.02


def test_an_l_by_hand():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 1] = mask[2, 2] = True
    (region,) = regions_of(mask)
    expected = shapely.Polygon([(1, 1), (2, 1), (2, 2), (3, 2), (3, 3), (1, 3)])
    assert region.polygon.equals(expected)
    assert len(region.polygon.exterior.coords) == 7  # six corners, closed
    assert (region.pixels, region.mean) == (3, 1.0)


def test_a_hole_is_kept():
    mask = np.ones((3, 4), bool)
    mask[1, 1] = False
    (region,) = regions_of(mask)
    (hole,) = region.polygon.interiors
    assert shapely.Polygon(hole).equals(shapely.box(1, 1, 2, 2))
    assert region.polygon.area == 11


def test_pixels_that_touch_by_a_corner_are_apart():
    regions = regions_of(np.eye(2, dtype=bool))
    assert {region.polygon.bounds for region in regions} == {(0, 0, 1, 1), (1, 1, 2, 2)}


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@example(np.array([[1, 1, 1], [1, 0, 1], [1, 1, 0]], bool))  # the ring closes at a corner
@example(np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]], bool))
@settings(max_examples=300)
def test_round_trip_is_exact(mask):
    regions = regions_of(mask)
    assert all(region.polygon.is_valid for region in regions)
    assert all(region.polygon.area == region.pixels for region in regions)
    np.testing.assert_array_equal(rasterised(regions, mask.shape), mask)


@pytest.mark.parametrize("simplify_px", [0.0, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_area_loss_of_smooth_regions_is_below_half_a_percent(seed, simplify_px):
    mask = smooth_blobs(seed)
    regions = regions_of(mask, simplify_px=simplify_px)
    back = rasterised(regions, mask.shape)
    assert abs(int(back.sum()) - int(mask.sum())) < 0.005 * mask.sum()
    assert (back != mask).sum() < 0.02 * mask.sum()
    assert all(region.polygon.is_valid for region in regions)


def test_simplifying_saves_points():
    mask = smooth_blobs(2)
    exact, simple = (
        sum(len(shapely.get_coordinates(r.polygon)) for r in regions_of(mask, simplify_px=px))
        for px in (0.0, 0.75)
    )
    assert simple < 0.6 * exact


@given(arrays(bool, (8, 8)), st.sampled_from([0.5, 0.75, 1.5, 3.0]))
@settings(max_examples=150)
def test_simplified_polygons_stay_valid(mask, simplify_px):
    for region in regions_of(mask, simplify_px=simplify_px):
        assert region.polygon.is_valid
        assert region.polygon.geom_type == "Polygon"
        assert region.polygon.area > 0


def test_small_regions_are_left_out_and_large_ones_come_first():
    mask = np.zeros((10, 10), bool)
    mask[0, 0] = mask[0:2, 4:6] = mask[5:8, 5:8] = True
    assert [region.pixels for region in regions_of(mask, min_pixels=4)] == [9, 4]


def test_mean_is_of_the_own_pixels():
    probability = np.array([[0.5, 0.0, 1.0], [0.5, 0.0, 0.0]], np.float32)
    regions = find_regions(probability, probability >= 0.5, min_pixels=1, simplify_px=0)
    assert [region.mean for region in regions] == [0.5, 1.0]


def test_nothing_marked():
    assert regions_of(np.zeros((5, 5), bool)) == []


def test_annotations_are_what_qupath_reads():
    mask = np.ones((3, 4), bool)
    mask[1, 1] = False
    options = CLASS | {"scale_px0": 2.6053, "size_px0": (7, 100), "mpp": 1.3}
    (feature,) = annotations(regions_of(mask), **options)
    rings = feature["geometry"]["coordinates"]
    assert len(rings) == 2
    assert all(ring[0] == ring[-1] for ring in rings)
    corners = np.concatenate(rings)
    assert corners.max(axis=0).tolist() == [10.42, 7.0]  # x = 4 * 2.6053; y ends with the slide
    assert all(round(value, 2) == value for value in corners.ravel())
    properties = feature["properties"]
    assert properties["objectType"] == "annotation"
    assert properties["classification"] == {"name": "tumour", "color": [213, 94, 0]}
    assert properties["measurements"] == {"mean probability": 1.0, "area um2": 18.59}
    assert uuid.UUID(feature["id"]).version == 5
    assert annotations(regions_of(mask), **options)[0]["id"] == feature["id"]
    assert annotations(regions_of(mask), **(options | {"key": "b"}))[0]["id"] != feature["id"]


def test_the_same_features_give_the_same_bytes(tmp_path, monkeypatch):
    features = annotations(
        regions_of(smooth_blobs(0)), scale_px0=4.0, size_px0=(2000, 2000), mpp=1.0, **CLASS
    )
    write_geojson(tmp_path / "a.geojson.gz", features)
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_geojson(tmp_path / "b.geojson.gz", features)
    assert (tmp_path / "a.geojson.gz").read_bytes() == (tmp_path / "b.geojson.gz").read_bytes()
    collection = json.loads(gzip.decompress((tmp_path / "a.geojson.gz").read_bytes()))
    assert collection["type"] == "FeatureCollection"
    assert len({feature["id"] for feature in collection["features"]}) == len(features) > 3


def test_no_regions_is_an_empty_collection(tmp_path):
    write_geojson(tmp_path / "none.geojson.gz", [])
    collection = json.loads(gzip.decompress((tmp_path / "none.geojson.gz").read_bytes()))
    assert collection == {"type": "FeatureCollection", "features": []}
