"""Tissue out as polygons, corrected, and back: exactly the same where nothing was corrected."""

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from tests.scripts.test_mask_tissue import EOSIN, SETTINGS, check, read, shard
from tests.synthetic import write_slide
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.units import manifest
from workflow.scripts.export_tissue import export_tissue
from workflow.scripts.gather_exports import gather_exports
from workflow.scripts.mask_tissue import mask_tissue


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two pieces, one with a hole, on a slide whose sides the mask does not divide; and glass."""
    root = tmp_path_factory.mktemp("study")
    pixels = np.full((787, 1203, 3), 243, np.uint8)
    write_slide(root / "glass.tif", pixels, mpp=1.0)
    pixels[100:500, 203:600] = pixels[560:700, 640:1203] = EOSIN
    pixels[200:350, 300:450] = 243
    write_slide(root / "pieces.tif", pixels, mpp=1.0)
    slides = [Slide(name, root / f"{name}.tif", f"p-{name}") for name in ("glass", "pieces")]
    lost = Slide("lost", root / "glass.tif", "p-lost")
    return root, [slides[0], lost, slides[1]], check(root, [slides[0], lost, slides[1]], ["lost"])


def mask(study, folder, slides):
    index = folder / "tissue/all.json"
    made_of = shard("mask_tissue", slides, SETTINGS | {"given": str(slides)})
    mask_tissue(study[2], index, shard=made_of, scratch=None, **SETTINGS)
    return index


def export(study, folder, slides=None):
    slides = slides or study[1]
    index = folder / "tissue_polygons/all.json"
    export_tissue(study[2], mask(study, folder, slides), index, shard=shard("x", slides, {}))
    gathered = shard("gather_exports", slides, {})
    gather_exports([index], folder / "exports/tissue.json", shard=gathered, program="tissue")
    return folder / "exports/tissue"


def features(file):
    return json.loads(gzip.decompress(file.read_bytes()))["features"]


def test_pieces_and_holes_in_level_0_pixels(study, tmp_path):
    folder = export(study, tmp_path)
    assert sorted(file.name for file in folder.glob("*.gz")) == [
        "glass.geojson.gz",
        "pieces.geojson.gz",
    ]
    assert features(folder / "glass.geojson.gz") == []
    lower, holed = sorted(
        features(folder / "pieces.geojson.gz"), key=lambda f: len(f["geometry"]["coordinates"])
    )
    assert [len(f["geometry"]["coordinates"]) for f in (lower, holed)] == [1, 2]
    outline, hole = (np.array(ring) for ring in holed["geometry"]["coordinates"])
    assert np.abs([outline.min(0) - (203, 100), outline.max(0) - (600, 500)]).max() < 12
    assert np.abs([hole.min(0) - (300, 200), hole.max(0) - (450, 350)]).max() < 12
    assert np.array(lower["geometry"]["coordinates"][0])[:, 0].max() == 1203  # the edge of it
    assert holed["properties"]["classification"]["name"] == "Tissue"
    assert manifest(tmp_path / "tissue_polygons/lost")["verdict"] == "E_FORMAT"


def test_given_back_untouched_it_is_the_same_mask(study, tmp_path):
    drawn = export(study, tmp_path)
    given = [
        replace(s, tissue=drawn / f"{s.slide}.geojson.gz") for s in study[1] if s.slide != "lost"
    ]
    again = mask(study, tmp_path / "again", given).parent
    for slide in ("glass", "pieces"):
        assert np.array_equal(read(again / slide), read(tmp_path / "tissue" / slide))
    assert read(again / "pieces").any()


def test_given_back_without_a_piece_that_piece_is_gone(study, tmp_path):
    found = features(export(study, tmp_path) / "pieces.geojson.gz")
    kept = [f for f in found if len(f["geometry"]["coordinates"]) == 2]
    # QuPath writes what is edited as a plain file, and a bare array where it is told to.
    (tmp_path / "corrected.geojson").write_text(json.dumps(kept))
    given = [replace(study[1][2], tissue=tmp_path / "corrected.geojson")]
    after = read(mask(study, tmp_path / "again", given).parent / "pieces")
    before = read(tmp_path / "tissue/pieces")
    assert np.array_equal(after[:65], before[:65])
    assert before[70:].any()
    assert not after[70:].any()
