"""ASAP files: the layout that its reader expects, and pixels -> polygons -> file -> pixels."""

import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
import shapely
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workflow.lib.exports.asap import write_asap
from workflow.lib.maps.polygons import find_regions
from workflow.lib.slides.annotations import read_areas
from workflow.lib.slides.truth import rasterise

COLOUR = "#d55e00"
ISLAND = np.pad(np.pad(np.ones((1, 1), bool), 1), 1, constant_values=True)
TARGET = np.pad(np.pad(np.pad(~ISLAND, 1, constant_values=True), 1), 1, constant_values=True)


def polygons_of(mask, simplify_px=0.0):
    regions = find_regions(mask.astype(np.float32), mask, min_pixels=1, simplify_px=simplify_px)
    return [region.polygon for region in regions]


def written(folder, polygons, name="tumour"):
    write_asap(folder / "a.xml", polygons, name=name, colour=COLOUR)
    return ElementTree.fromstring((folder / "a.xml").read_bytes())  # noqa: S314 (our own file)


def read_back(folder, shape):
    areas = read_areas(folder / "a.xml")
    return rasterise(areas, steps=(1.0, 1.0), rows=(0, shape[0]), width=shape[1]) > 0


def test_the_layout_by_hand(tmp_path):
    ring = shapely.Polygon([(0, 0), (9, 0), (9, 9.5), (0, 9.5)], [[(2, 2), (2, 4), (4, 4), (4, 2)]])
    root = written(tmp_path, [ring])
    assert root.tag == "ASAP_Annotations"
    tumour, exclusion = root.find("Annotations")
    about = {"Name": "tumour 1", "Type": "Polygon", "PartOfGroup": "tumour", "Color": COLOUR}
    assert tumour.attrib == about
    assert [c.attrib for c in tumour.find("Coordinates")][2] == {
        "Order": "2",
        "X": "9.00",
        "Y": "9.50",
    }
    assert len(tumour.find("Coordinates")) == 4  # ASAP closes rings itself
    assert (exclusion.get("PartOfGroup"), exclusion.get("Type")) == ("exclusion", "Polygon")
    groups = root.find("AnnotationGroups")
    assert [(g.get("Name"), g.get("PartOfGroup"), g.get("Color")) for g in groups] == [
        ("tumour", "None", COLOUR),
        ("exclusion", "None", "#999999"),
    ]
    assert all(group.find("Attributes") is not None for group in groups)


def test_without_holes_there_is_one_group(tmp_path):
    root = written(tmp_path, [shapely.box(0, 0, 3, 3)])
    assert [group.get("Name") for group in root.find("AnnotationGroups")] == ["tumour"]


def test_no_polygons(tmp_path):
    assert len(written(tmp_path, []).find("Annotations")) == 0
    assert read_areas(tmp_path / "a.xml") == []


def test_a_class_that_is_called_like_a_cut_is_not_cut(tmp_path):
    root = written(tmp_path, [shapely.box(0, 0, 3, 3)], name="Normal")
    assert root.find("Annotations")[0].get("PartOfGroup") == "class Normal"
    assert read_back(tmp_path, (4, 4)).sum() == 9


def test_names_are_text(tmp_path):
    root = written(tmp_path, [shapely.box(0, 0, 3, 3)], name='a<b>&"c"')
    assert root.find("Annotations")[0].get("PartOfGroup") == 'a<b>&"c"'


@given(arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
@example(ISLAND)
@example(TARGET)  # an island with a hole, in a hole
@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip_is_exact(tmp_path, mask):
    written(tmp_path, polygons_of(mask))
    np.testing.assert_array_equal(read_back(tmp_path, mask.shape), mask)


@pytest.mark.parametrize("seed", range(3))
def test_simplified_outlines_lose_less_than_half_a_percent(tmp_path, seed):
    noise = np.random.default_rng(seed).standard_normal((200, 180)).astype(np.float32)
    mask = cv2.GaussianBlur(noise, (0, 0), 5) > 0
    written(tmp_path, polygons_of(mask, simplify_px=0.5))
    back = read_back(tmp_path, mask.shape)
    assert abs(int(back.sum()) - int(mask.sum())) < 0.005 * mask.sum()
