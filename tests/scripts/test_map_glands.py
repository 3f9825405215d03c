"""Gland maps of a study on disk, and the cams that are cut from them."""

import numpy as np
import pytest

from tests.scripts import cohort
from workflow.lib.evidence.gland_tiles import GlandTiles
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import Tiles, open_group


def test_every_slide_has_a_map_from_edge_to_edge(study):
    folder = study.map_glands()
    found = open_group(folder / "p3" / "glands.zarr")["glands"]
    assert found.shape == (16, 80) and found.dtype == np.float16
    assert found[:].max() <= 1 and found[:].std() > 0.01
    assert not open_group(folder / "empty" / "glands.zarr")["glands"][:].any()
    assert manifest(folder / "empty")["verdict"] == "ok_empty"
    assert manifest(folder / "quarantined")["verdict"] == "E_MPP"
    assert manifest(folder / "p3")["facts"]["cell_um"] == 4.0


def test_cams_of_glands_are_the_map_in_tiles_for_every_class(study):
    folder = study.map_glands()
    study.make_cams("glands")
    unit = study.cams_by("glands").parent / "p3"
    cams, store = open_group(unit / "cams.zarr"), Tiles(study.tiles.parent / "p3" / "tiles.zarr")
    expected = GlandTiles(folder / "p3", store)(slice(0, cohort.COUNT)).numpy()
    assert cams["cams"].shape == (cohort.COUNT, 2, 16, 16)
    for of in (0, 1):
        assert cams["cams"][:, of] == pytest.approx(expected, abs=1e-3)
    plain = open_group(study.cams.parent / "p3" / "cams.zarr")
    assert cams["logits"][:] == pytest.approx(plain["logits"][:], abs=1e-5)
    facts = manifest(unit)["facts"]
    assert facts["cam"] == "glands" and facts["low"] < facts["high"]


def test_they_are_scaled_over_the_slide_and_shown_as_they_are(study):
    study.map_glands()
    study.make_cams("glands")
    folder = study.refine("glands", cams=study.cams_by("glands"), cam_scale="softmax")
    found = cohort.probability(folder, "p3")
    assert found.min() < 0.01 and found.max() == 1  # its own low and high, between cells
    assert manifest(folder / "p3")["facts"]["quantity"] == "evidence"
