"""Heatmaps of a study on disk: at the right place, out of fold, readable by other programs."""

import gzip
import hashlib
import json

import numpy as np
import pytest
import shapely
import tifffile
import zarr
from ome_zarr_models.v05 import Image

from tests.scripts.stitched import DISC_PX0, MPP, MPP0, SIZE_PX0, SPLITS, Study, spec
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import open_group, write_rows


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A stitched study, shared by all tests: do not change it."""
    study = Study(tmp_path_factory.mktemp("study")).build()
    study.stitch()
    return study


def heatmap_of(study, slide):
    group = open_group(study.heatmaps.parent / slide / "heatmap.ome.zarr")
    return group, group["s0"][0] / 65535


def polygons_of(study, slide):
    file = study.heatmaps.parent / slide / "polygons.geojson.gz"
    return json.loads(gzip.decompress(file.read_bytes()))["features"]


def centroid(image):
    """Centre of mass as (y, x) in px, the centre of the first pixel at 0."""
    return (np.indices(image.shape) * image).sum(axis=(1, 2)) / image.sum()


@pytest.mark.parametrize("slide", sorted(DISC_PX0))
def test_the_mark_is_where_it_was_in_the_zarr(finished, slide):
    """The transformations lead to um from the centre of the slide's first level-0 pixel."""
    group, _ = heatmap_of(finished, slide)
    image = Image.from_zarr(zarr.open_group(str(group.store.root), mode="r"))
    for dataset in image.ome_attributes.multiscales[0].datasets:
        scale, translation = dataset.coordinateTransformations
        found = centroid(group[dataset.path][0].astype(float)) * scale.scale[1:]
        found = (found + translation.translation[1:]) / MPP0 + 0.5
        np.testing.assert_allclose(found, DISC_PX0[slide][0], atol=0.5 * spec().scale * 2)


@pytest.mark.parametrize("slide", sorted(DISC_PX0))
def test_the_mark_is_where_it_was_in_the_tiff(finished, slide):
    """QuPath lays pixels of PhysicalSize um onto the slide, both beginning at the corner."""
    with tifffile.TiffFile(finished.heatmaps.parent / slide / "heatmap.ome.tif") as tiff:
        pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        found = centroid(tiff.asarray().astype(float)) + 0.5
    size_um = np.array([pixels["PhysicalSizeY"], pixels["PhysicalSizeX"]])
    np.testing.assert_allclose(
        found * size_um / MPP0, DISC_PX0[slide][0], atol=0.5 * spec().scale * 2
    )


@pytest.mark.parametrize("slide", sorted(DISC_PX0))
def test_the_mark_is_where_it_was_in_the_polygons(finished, slide):
    (feature,) = polygons_of(finished, slide)
    polygon = shapely.geometry.shape(feature["geometry"])
    (y, x), radius = DISC_PX0[slide]
    assert polygon.is_valid
    assert polygon.contains(shapely.Point(x, y))
    step = spec().scale * 2
    np.testing.assert_allclose((polygon.centroid.y, polygon.centroid.x), (y, x), atol=step / 2)
    assert polygon.area == pytest.approx(np.pi * radius**2, rel=0.05)
    assert feature["properties"]["classification"] == {"name": "tumour", "color": [213, 94, 0]}
    area_um2 = feature["properties"]["measurements"]["area um2"]
    assert area_um2 == pytest.approx(np.pi * (radius * MPP0) ** 2, rel=0.05)


def test_facts_describe_the_heatmap(finished):
    facts = manifest(finished.heatmaps.parent / "a")["facts"]
    group, probability = heatmap_of(finished, "a")
    assert facts["shape"] == list(probability.shape) == [135, 174]
    assert (facts["height_px0"], facts["width_px0"]) == SIZE_PX0
    assert facts["mpp"] == 2 * MPP
    assert facts["scale_px0"] == pytest.approx(2 * MPP / MPP0)
    assert (facts["class"], facts["polygons"], facts["polygon_mpp"]) == ("tumour", 1, 2 * MPP)
    marked = (probability >= 0.5) & (group["labels/coverage/s0"][:] > 0)
    assert facts["marked_um2"] == pytest.approx(marked.sum() * (2 * MPP) ** 2)
    assert facts["covered_um2"] == pytest.approx(probability.size * (2 * MPP) ** 2)


def test_slides_are_stitched_from_the_fold_that_tests_them(finished):
    units = json.loads(finished.heatmaps.read_text())["units"]
    assert sorted(units) == sorted(s for s, splits in SPLITS.items() if "test" in splits)
    folder = finished.heatmaps.parent
    assert {s: manifest(folder / s)["facts"]["fold"] for s in DISC_PX0} == {"a": 0, "b": 1, "c": 0}
    assert heatmap_of(finished, "a")[1].max() == 1
    assert heatmap_of(finished, "b")[1].max() == pytest.approx(0.8, abs=1e-4)
    assert heatmap_of(finished, "c")[1].max() == 1


def test_a_slide_without_tiles_has_an_empty_heatmap_of_the_right_size(finished):
    group, probability = heatmap_of(finished, "bare")
    assert probability.shape == (135, 174)
    assert not probability.any()
    assert not group["labels/coverage/s0"][:].any()
    assert polygons_of(finished, "bare") == []
    found = manifest(finished.heatmaps.parent / "bare")
    assert (found["verdict"], found["facts"]["marked_um2"]) == ("ok_empty", 0)
    with tifffile.TiffFile(finished.heatmaps.parent / "bare" / "heatmap.ome.tif") as tiff:
        assert tiff.asarray().shape == (135, 174)


def test_a_quarantined_slide_keeps_its_verdict(finished):
    assert manifest(finished.heatmaps.parent / "quarantined")["verdict"] == "E_MPP"


def test_the_same_study_gives_the_same_bytes(finished, tmp_path):
    again = Study(tmp_path).build()
    again.stitch()
    trees = [
        {
            file.relative_to(root): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(root.rglob("*"))
            if file.is_file()
        }
        for root in (finished.heatmaps.parent, again.heatmaps.parent)
    ]
    assert trees[0] == trees[1]


def test_settings_decide_the_polygons(tmp_path):
    study = Study(tmp_path).build()
    study.stitch(polygon_threshold=0.9)
    assert [len(polygons_of(study, slide)) for slide in "abc"] == [1, 0, 1]
    study.stitch(min_polygon_um2=4000.0)  # the disc of c is 1956 um2, that of a 6336 um2
    assert [len(polygons_of(study, slide)) for slide in "abc"] == [1, 0, 0]


def test_a_tile_that_could_not_be_read_is_left_out(tmp_path):
    study = Study(tmp_path).build()
    store = zarr.open_group(str(study.tiles.parent / "a" / "tiles.zarr"), mode="a")
    bad = store["bad"][:]
    bad[0] = True
    del store["bad"]
    write_rows(store, "bad", bad)
    study.stitch()
    covered = heatmap_of(study, "a")[0]["labels/coverage/s0"][:]
    assert not covered[:16, :16].any()
    assert covered[16:].all()


def test_without_a_class_the_heatmap_says_evidence(tmp_path):
    study = Study(tmp_path, facts={}).build()
    study.stitch()
    group, _ = heatmap_of(study, "a")
    assert group.attrs["ome"]["omero"]["channels"][0]["label"] == "evidence"


@pytest.mark.parametrize("quantity", ["evidence", "probability"])
def test_what_the_values_are_is_said_everywhere(tmp_path, quantity):
    study = Study(tmp_path, facts={"class": "tumour", "quantity": quantity}).build()
    study.stitch()
    folder = study.heatmaps.parent / "a"
    assert manifest(folder)["facts"]["quantity"] == quantity
    with tifffile.TiffFile(folder / "heatmap.ome.tif") as tiff:
        said = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Description"]
    assert said.startswith(f"{quantity.capitalize()} of tumour: 255 is 1;")
    (feature,) = polygons_of(study, "a")
    assert f"mean {quantity}" in feature["properties"]["measurements"]


def test_maps_that_do_not_fill_the_tiles(tmp_path):
    study = Study(tmp_path, downsample=3).build()
    for index in study.refined:
        for store in index.parent.glob("*/refined.zarr"):
            zarr.open_group(str(store), mode="a").attrs["downsample"] = 2
    with pytest.raises(RuntimeError, match="First: a: maps of 16 px at downsample 2 do not fill"):
        study.stitch()
