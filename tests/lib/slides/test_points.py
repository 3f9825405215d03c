"""Points on slides: what is read, what is refused, and which pixels of which tiles they label."""

import gzip
import json
import logging

import numpy as np
import pytest

from workflow.lib.slides.points import (
    Points,
    check_inside,
    draw_discs,
    find_sides,
    meet_tiles,
    read_points,
)

CLASSES = ["normal", "tumour"]


def feature(kind, coordinates, name=None):
    classified = {"classification": {"name": name, "color": [1, 2, 3]}} if name else {}
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": classified}


def write(path, content):
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def told(points):
    return [
        (name, *place) for name, place in zip(points.names, points.places.tolist(), strict=True)
    ]


@pytest.mark.parametrize("wrapped", [False, True])
def test_points_of_qupath_are_x_y_and_come_back_as_y_x(tmp_path, wrapped):
    content = [
        feature("Point", [10.5, 20], "tumour"),
        feature("MultiPoint", [[1, 2], [3, 4]], "background"),
        feature("Point", [5, 6]),
    ]
    content = {"type": "FeatureCollection", "features": content} if wrapped else content
    found = read_points(write(tmp_path / "a.geojson", content))
    assert told(found) == [
        ("tumour", 20, 10.5),
        ("background", 2, 1),
        ("background", 4, 3),
        ("", 6, 5),
    ]


def test_gzip_and_byte_order_mark(tmp_path):
    text = json.dumps(feature("Point", [1, 2], "tumour")).encode()
    (tmp_path / "a.geojson.gz").write_bytes(gzip.compress(text))
    (tmp_path / "b.json").write_bytes(b"\xef\xbb\xbf" + text)
    for name in ("a.geojson.gz", "b.json"):
        assert told(read_points(tmp_path / name)) == [("tumour", 2, 1)]


def test_a_table_may_have_other_columns_too(tmp_path):
    text = "class\tx_px0\ty_px0\twho\ntumour\t10.5\t20\tme\nbackground\t3\t4\t\n"
    assert told(read_points(write(tmp_path / "a.tsv", text))) == [
        ("tumour", 20, 10.5),
        ("background", 4, 3),
    ]


def test_nothing_set_is_no_point(tmp_path):
    for name, text in (("a.geojson", "[]"), ("a.tsv", "y_px0\tx_px0\tclass\n")):
        found = read_points(write(tmp_path / name, text))
        assert found.places.shape == (0, 2) and found.names == []
        check_inside(found, (5, 5))
        assert find_sides(found.names, CLASSES, "normal").tolist() == []


def test_areas_are_left_out_with_a_warning(tmp_path, caplog):
    content = [feature("Polygon", [[[0, 0], [1, 0], [1, 1]]]), feature("Point", [1, 2], "tumour")]
    with caplog.at_level(logging.WARNING):
        assert len(read_points(write(tmp_path / "a.geojson", content)).names) == 1
    assert "a.geojson: 1 areas or lines are no points" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.geojson", "", "not a readable file of points"),
        ("a.geojson", "17", "not a readable file of points"),
        ("a.geojson", '{"type": "Dot"}', "'Dot' is not a GeoJSON type"),
        ("a.geojson", '{"type": "Point", "coordinates": [1]}', "index out of range"),
        ("a.geojson", '{"type": "Point", "coordinates": [1, NaN]}', "not a finite number"),
        ("a.geojson", '{"type": "Point", "coordinates": ["a", 1]}', "could not convert"),
        ("a.geojson", "[" * 100_000, "not a readable file of points"),
        ("a.geojson.gz", "no gzip", "not a readable file of points"),
        ("a.tsv", "", "it has no column y_px0"),
        ("a.tsv", "y_px0,x_px0,class\n1,2,tumour\n", "it has no column y_px0"),
        ("a.tsv", "y_px0\tx_px0\n1\t2\n", "it has no column class"),
        ("a.tsv", "y_px0\tx_px0\tclass\n1\n", "could not convert"),
        ("a.tsv", "y_px0\tx_px0\tclass\n1,5\t2\ttumour\n", "could not convert"),
        ("a.tsv", "y_px0\tx_px0\tclass\ninf\t2\ttumour\n", "not a finite number"),
        ("a.png", "", "holds no points that can be read; give GeoJSON from QuPath or a table"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path, name, content, reason):
    with pytest.raises(ValueError, match=name.replace(".", r"\.")) as error:
        read_points(write(tmp_path / name, content))
    assert reason in str(error.value)


def test_points_outside_of_the_slide_are_refused():
    check_inside(Points(np.array([[0.0, 0.0], [20.0, 30.0]]), ["a", "a"]), (20, 30))
    for place in ([20.5, 1], [-1, 1], [1, 31]):
        with pytest.raises(ValueError, match="outside the slide of 30 x 20 px; coordinates"):
            check_inside(Points(np.array([[1.0, 1], place]), ["a", "a"]), (20, 30))


def test_classes_are_sides():
    names = ["tumour", "Tumour", "normal", "background", "Background "]
    assert find_sides(names, CLASSES, "normal").tolist() == [1, 1, 0, 0, 0]
    assert find_sides(["benign", "malignant"], ["benign", "malignant"], None).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("stroma", "a point is of 'stroma', which is no class of this study; name it normal, tumo"),
        ("", "a point is of no class of this study; name it normal, tumour or background"),
    ],
)
def test_other_classes_are_refused(name, said):
    with pytest.raises(ValueError, match=said):
        find_sides(["tumour", name], CLASSES, "normal")


def test_a_point_is_in_the_tile_that_it_is_set_on():
    """Four tiles of 10 px; a point on the border of two is in the right one; reach adds others."""
    corners = np.array([[0, 0], [0, 10], [10, 0], [10, 10]])
    places = np.array([[9.5, 10.0], [25.0, 5.0]])
    tiles, points = meet_tiles(places, corners, tile_px=10, reach_px=0)
    assert (tiles.tolist(), points.tolist()) == ([1], [0])
    tiles, points = meet_tiles(places, corners, tile_px=10, reach_px=1)
    assert (tiles.tolist(), points.tolist()) == ([0, 1, 2, 3], [0, 0, 0, 0])


def test_overlapping_tiles_share_a_point():
    corners = np.array([[0, 0], [0, 5]])
    tiles, _ = meet_tiles(np.array([[1.0, 7.0]]), corners, tile_px=10, reach_px=0)
    assert tiles.tolist() == [0, 1]


def test_a_disc_by_hand():
    """Radius 1 around the middle of pixel (1, 2): that pixel and its four neighbours."""
    labels = draw_discs(np.array([[1.5, 2.5]]), np.array([1]), tile_px=4, radius_px=1)
    assert labels.tolist() == [
        [255, 255, 1, 255],
        [255, 1, 1, 1],
        [255, 255, 1, 255],
        [255, 255, 255, 255],
    ]


def test_a_disc_without_a_radius_is_the_pixel_of_its_point():
    labels = draw_discs(np.array([[3.99, 0.01]]), np.array([0]), tile_px=4, radius_px=0)
    assert np.argwhere(labels != 255).tolist() == [[3, 0]]
    assert labels[3, 0] == 0


def test_a_disc_reaches_in_from_outside():
    labels = draw_discs(np.array([[-0.5, 1.5]]), np.array([1]), tile_px=4, radius_px=1)
    assert np.argwhere(labels != 255).tolist() == [[0, 1]]


def test_where_both_sides_claim_a_pixel_it_has_no_label():
    centres = np.array([[1.5, 0.5], [1.5, 2.5]])
    labels = draw_discs(centres, np.array([1, 0]), tile_px=4, radius_px=1)
    assert labels[1].tolist() == [1, 255, 0, 0]
