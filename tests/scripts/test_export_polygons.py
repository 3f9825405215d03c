"""Polygons of stitched heatmaps for ASAP, and the folders of ASAP and QuPath."""

import gzip
import json

import numpy as np
import pytest

from tests.scripts.stitched import DISC_PX0, SETTINGS, SIZE_PX0, Study, shard
from workflow.lib.jobs.units import manifest
from workflow.lib.slides.truth import read_mask
from workflow.scripts.export_polygons import export_polygons
from workflow.scripts.gather_exports import gather_exports


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A stitched study with its polygons exported: do not change it."""
    study = Study(tmp_path_factory.mktemp("study")).build()
    study.stitch()
    index = study.root / "asap_polygons/negev/all.json"
    classes = SETTINGS["classes"]
    made_of = shard("export_polygons", classes=classes)
    export_polygons(study.heatmaps, index, shard=made_of, classes=classes)
    for program, stage in (("asap", index), ("qupath", study.heatmaps)):
        folder = study.root / f"exports/{program}.json"
        gather_exports([stage], folder, shard=shard("gather_exports"), program=program)
    return study


@pytest.mark.parametrize("slide", sorted(DISC_PX0))
def test_asap_and_qupath_mark_the_same_pixels(finished, slide):
    exports = finished.root / "exports"
    grid = {"shape_px0": SIZE_PX0, "out_shape": SIZE_PX0}
    drawn = read_mask(exports / "asap/negev" / f"{slide}.xml", **grid)
    shown = read_mask(exports / "qupath/negev" / f"{slide}.geojson.gz", **grid)
    np.testing.assert_array_equal(drawn, shown)
    (y, x), _ = DISC_PX0[slide]
    assert drawn[int(y), int(x)]


def test_slides_without_polygons(finished):
    folder = finished.root / "asap_polygons/negev"
    assert manifest(folder / "bare")["facts"] == {"polygons": 0}
    assert manifest(folder / "quarantined")["verdict"] == "E_MPP"
    assert "trained" not in json.loads((folder / "all.json").read_text())["units"]


def test_folders_hold_usable_slides_under_their_names(finished):
    files = set(manifest(finished.root / "exports/qupath")["files"])
    slides = [*DISC_PX0, "bare"]
    assert files == {f"negev/{s}{end}" for s in slides for end in (".geojson.gz", ".ome.tif")}
    drawn = json.loads(
        gzip.decompress((finished.root / "exports/qupath/negev/bare.geojson.gz").read_bytes())
    )
    assert drawn["features"] == []
