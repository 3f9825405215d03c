"""Drawings of QuPath, ASAP and ImageScope."""

import gzip
import json
import logging
from pathlib import Path

import numpy as np
import pytest
import shapely

from workflow.lib.slides.annotations import read_areas
from workflow.lib.slides.truth import rasterise

DATA = Path(__file__).parents[3] / "../shared/data/annotations"
SQUARE = [[10, 20], [30, 20], [30, 50], [10, 50], [10, 20]]
HOLE = [[15, 25], [20, 25], [20, 30], [15, 25]]
POLYGON = {"type": "Polygon", "coordinates": [SQUARE, HOLE]}


def feature(geometry, **properties):
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "content",
    [
        {"type": "FeatureCollection", "features": [feature(POLYGON)]},
        [feature(POLYGON)],
        feature(POLYGON),
        POLYGON,
        {"type": "GeometryCollection", "geometries": [POLYGON]},
        {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE]]},
        {"type": "Polygon", "coordinates": [[[*p, 0] for p in SQUARE], [[*p, 0] for p in HOLE]]},
    ],
)
def test_geojson_in_all_its_wrappings(tmp_path, content):
    (area,) = read_areas(write(tmp_path / "a.geojson", content))
    assert not area.cut
    assert [ring.dtype for ring in area.rings] == [np.float64] * 2
    assert area.rings[0].tolist() == [[y, x] for x, y in SQUARE]
    assert area.rings[1].tolist() == [[y, x] for x, y in HOLE]


def test_a_multipolygon_is_several_areas_each_with_its_holes(tmp_path):
    content = {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE], [HOLE]]}
    assert [len(a.rings) for a in read_areas(write(tmp_path / "a.json", content))] == [2, 1]


def test_gzip_and_byte_order_mark(tmp_path):
    (tmp_path / "a.geojson.gz").write_bytes(gzip.compress(json.dumps(POLYGON).encode()))
    (tmp_path / "b.geojson").write_bytes(b"\xef\xbb\xbf" + json.dumps(POLYGON).encode())
    assert len(read_areas(tmp_path / "a.geojson.gz")) == 1
    assert len(read_areas(tmp_path / "b.geojson")) == 1


@pytest.mark.parametrize("content", [[], {"type": "FeatureCollection", "features": []}])
def test_nothing_drawn_is_no_area(tmp_path, content):
    assert read_areas(write(tmp_path / "a.geojson", content)) == []


def test_points_and_lines_are_left_out_with_a_warning(tmp_path, caplog):
    content = [
        feature({"type": "Point", "coordinates": [1, 2]}),
        feature({"type": "LineString", "coordinates": SQUARE}),
        feature(POLYGON),
        feature(None),
    ]
    with caplog.at_level(logging.WARNING):
        assert len(read_areas(write(tmp_path / "a.geojson", content))) == 1
    assert "a.geojson: 2 points or lines enclose nothing" in caplog.text


def test_areas_of_several_classes_are_announced(tmp_path, caplog):
    content = [
        feature(POLYGON, classification={"name": "Tumor", "color": [1, 2, 3]}),
        feature(POLYGON, classification={"names": ["Immune", "T"], "color": [1, 2, 3]}),
        feature(POLYGON, classification="Tumor"),
    ]
    with caplog.at_level(logging.WARNING):
        assert len(read_areas(write(tmp_path / "a.geojson", content))) == 3
    assert "count alike: Immune: T (1), Tumor (2)" in caplog.text


ASAP = """<?xml version="1.0"?><ASAP_Annotations><Annotations>
<Annotation Name="a" Type="Polygon" PartOfGroup="_0" Color="#F4FA58"><Coordinates>
 <Coordinate Order="1" X="30" Y="20"/><Coordinate Order="0" X="10.5" Y="20"/>
 <Coordinate Order="2" X="30" Y="50"/></Coordinates></Annotation>
<Annotation Name="b" Type="Polygon" PartOfGroup="_2" Color="#F4FA58"><Coordinates>
 <Coordinate Order="0" X="1" Y="2"/><Coordinate Order="1" X="3" Y="4"/>
 <Coordinate Order="2" X="5" Y="7"/></Coordinates></Annotation>
<Annotation Name="c" Type="Dot" PartOfGroup="None" Color="#F4FA58"><Coordinates>
 <Coordinate Order="0" X="1" Y="2"/></Coordinates></Annotation>
</Annotations><AnnotationGroups/></ASAP_Annotations>"""


def test_asap_orders_its_coordinates_and_cuts_its_exclusions(tmp_path):
    area, cut = read_areas(write(tmp_path / "a.xml", ASAP))
    assert area.rings[0].tolist() == [[20, 10.5], [20, 30], [50, 30]]
    assert (area.cut, cut.cut) == (False, True)


APERIO = """<Annotations MicronsPerPixel="0.25"><Annotation Id="1" Name=""><Regions>
<Region Id="1" NegativeROA="0"><Vertices><Vertex X="1" Y="2"/><Vertex X="3" Y="4"/>
 <Vertex X="5" Y="9" Z="0"/></Vertices></Region>
<Region Id="2" NegativeROA="1"><Vertices><Vertex X="1" Y="2"/><Vertex X="3" Y="4"/>
 <Vertex X="5" Y="9"/></Vertices></Region>
<Region Id="3" NegativeROA="0"><Vertices><Vertex X="1" Y="2"/><Vertex X="3" Y="4"/></Vertices>
</Region></Regions></Annotation></Annotations>"""


def test_aperio_regions_negative_ones_cut(tmp_path):
    area, cut = read_areas(write(tmp_path / "a.xml", APERIO))
    assert area.rings[0].tolist() == [[2, 1], [4, 3], [9, 5]]
    assert (area.cut, cut.cut) == (False, True)


def aperio(*layers):
    """Layers of ImageScope, each its name and regions: attributes, and vertices (x, y)."""
    layers = [
        f"<Annotation Name='{name}'><Regions>"
        + "".join(
            f"<Region {said}><Vertices>"
            + "".join(f"<Vertex X='{x}' Y='{y}'/>" for x, y in vertices)
            + "</Vertices></Region>"
            for said, vertices in regions
        )
        + "</Regions></Annotation>"
        for name, regions in layers
    ]
    return f"<Annotations>{''.join(layers)}</Annotations>"


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def test_an_aperio_ellipse_is_the_one_in_its_box(tmp_path):
    drawn = ("Tumor", [("Type='2'", [(40, 90), (10, 10)]), ("Type='2'", box(0, 0, 5, 5))])
    ellipse, corners = read_areas(write(tmp_path / "a.xml", aperio(drawn)))
    outline = shapely.Polygon(ellipse.rings[0])
    assert outline.bounds == pytest.approx((10, 10, 90, 40))  # y, x
    assert outline.area == pytest.approx(np.pi * 15 * 40, rel=5e-4)
    assert shapely.Polygon(corners.rings[0]).area == 25  # more corners are an outline


def test_an_aperio_arrow_or_ruler_is_no_area(tmp_path, caplog):
    drawn = ("", [("Type='3'", [(1, 2), (9, 9)]), ("Type='4'", [(1, 2), (9, 9)])])
    with caplog.at_level(logging.WARNING):
        assert read_areas(write(tmp_path / "a.xml", aperio(drawn))) == []
    assert "a.xml: 2 points or lines enclose nothing" in caplog.text


@pytest.mark.parametrize("order", [1, -1])
def test_nested_aperio_regions(tmp_path, caplog, order):
    negative = "NegativeROA='1'"
    regions = [
        ("", box(0, 0, 20, 20)),
        ("", box(2, 2, 6, 6)),  # within the first: nothing new
        (negative, box(10, 10, 18, 18)),
        ("", box(12, 12, 14, 14)),  # within the negative one: taken out with it
    ]
    file = write(tmp_path / "a.xml", aperio(("Tumor", regions[::order])))
    with caplog.at_level(logging.WARNING):
        areas = read_areas(file)
    mask = rasterise(areas, steps=(1, 1), rows=(0, 20), width=20)
    expected = np.ones((20, 20), np.uint8)
    expected[10:18, 10:18] = 0
    assert np.array_equal(mask, expected)
    assert "a.xml: 1 areas lie whole within one that is cut out" in caplog.text


def test_a_negative_region_is_taken_out_of_all_layers(tmp_path, caplog):
    layers = [("Tumor", [("", box(0, 0, 8, 4))]), ("Fold", [("NegativeROA='1'", box(6, 0, 9, 4))])]
    with caplog.at_level(logging.WARNING):
        areas = read_areas(write(tmp_path / "a.xml", aperio(*layers)))
    assert rasterise(areas, steps=(1, 1), rows=(0, 4), width=9).sum() == 6 * 4
    assert "cut out" not in caplog.text


def test_layers_of_several_names_are_announced(tmp_path, caplog):
    layers = [(name, [("", box(0, 0, 8, 4))]) for name in ("Tumor", "Necrosis", "Tumor")]
    with caplog.at_level(logging.WARNING):
        assert len(read_areas(write(tmp_path / "a.xml", aperio(*layers)))) == 3
    assert "count alike: Necrosis (1), Tumor (2)" in caplog.text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not a readable annotation file"),
        ("{", "not a readable annotation file"),
        ("17", "not a readable annotation file"),
        ('{"type": "Topology"}', "'Topology' is not a GeoJSON type"),
        ('{"features": []}', "not a readable annotation file"),
        ('{"type": "Polygon", "coordinates": [[[1, "a"], [2, 3]]]}', "could not convert"),
        ('{"type": "Polygon", "coordinates": [[[1, NaN], [2, 3]]]}', "not a finite number"),
        ('{"type": "Polygon", "coordinates": [[[1], [2, 3]]]}', "not a readable annotation file"),
        ('{"type": "Feature", "geometry": {"type": "Point"}, "properties": ["a"]}', "attribute"),
        ("[" * 100_000, "not a readable annotation file"),
        ("<html></html>", "root element is html"),
        ("<Annotations><Annotation>", "XML is broken"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><Annotations/>', "XML entities"),
        ("".join(f"{letter}\0" for letter in '<!DOCTYPE a [<!ENTITY b "c">]><Annotations/>'),
         "not in UTF-8"),
        ("<ASAP_Annotations><Annotation Type='Polygon'><Coordinate X='1'/></Annotation>"
         "</ASAP_Annotations>", "not a finite number"),
    ],
)  # fmt: skip
def test_other_files_are_refused_by_name_with_a_remedy(tmp_path, content, reason):
    file = write(tmp_path / "drawn.geojson", content)
    with pytest.raises(ValueError, match=r"drawn\.geojson is not a readable .* export it") as error:
        read_areas(file)
    assert reason in str(error.value)


def test_a_damaged_gzip_is_refused(tmp_path):
    whole = gzip.compress(bytes(range(256)) * 40)
    flipped = whole[:12] + bytes(byte ^ 0xFF for byte in whole[12:40]) + whole[40:]
    for content in (whole[:-12], flipped, b"no gzip at all", whole[:-8] + bytes(8)):
        (tmp_path / "a.geojson.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.geojson\.gz is not a readable"):
            read_areas(tmp_path / "a.geojson.gz")


@pytest.mark.parametrize(
    ("file", "areas", "rings"),
    [
        ("qupath/histoqc_geojson_example.json", 8, 9),
        ("qupath/histoqc_holed.geojson", 1, 2),
        ("qupath/large_image_sample.geojson", 10, 10),
        ("aperio/CMU-1-JP2K-33005.xml", None, None),
    ],
)
def test_real_files(file, areas, rings):
    if not (DATA / file).is_file():
        pytest.skip(f"the real annotation {file} is not here")
    found = read_areas(DATA / file)
    assert areas is None or len(found) == areas
    assert rings is None or sum(len(area.rings) for area in found) == rings
    assert found
    assert all(len(ring) >= 3 for area in found for ring in area.rings)
