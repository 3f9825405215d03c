"""Pseudo-masks of a study on disk."""

import json
import logging

import numpy as np
import pytest

from tests.scripts import cohort
from workflow.lib.evidence.cams import slide_evidence, upsample
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import open_group


def masks(study, slide):
    group = open_group(study.pseudo_masks.parent / slide / "pseudo_masks.zarr")
    return group["pseudo_masks"][:]


def facts(study, slide):
    return manifest(study.pseudo_masks.parent / slide)["facts"]


def test_masks_are_the_thresholded_cam_of_the_slide(finished):
    group = open_group(finished.cams.parent / "p1" / "cams.zarr")
    seen = manifest(finished.cams.parent / "p1")["facts"]
    cam = slide_evidence(group["cams"][:], cohort.CLASSES, seen, scale="minmax")
    evidence = upsample(cam, cohort.TILE_PX).numpy()
    good = np.arange(cohort.COUNT) != cohort.UNREADABLE["p1"]
    found = masks(finished, "p1")
    assert found.dtype == np.uint8
    assert np.array_equal(found[good] == 1, evidence[good] >= 0.6)
    assert np.array_equal(found[good] == 0, evidence[good] < 0.2)
    assert (found[~good] == 255).all()
    assert facts(finished, "p1")["coverage_fg"] == pytest.approx((found == 1).mean())
    assert facts(finished, "p1")["ignored"] == pytest.approx((found == 255).mean())


def test_slides_of_the_negative_class_are_background_throughout(finished):
    assert (masks(finished, "n1") == 0).all()
    assert facts(finished, "n1")["coverage_bg"] == 1.0


def test_only_training_and_validation_slides_have_masks(finished):
    units = json.loads(finished.pseudo_masks.read_text())["units"]
    assert sorted(units) == ["n1", "n2", "p1", "p2", "quarantined"]


def test_a_cam_without_contrast_is_ignored_and_suspect(study, caplog):
    unit = study.cams.parent / "p1" / "manifest.json"
    record = json.loads(unit.read_text())
    record["recipe"], record["facts"]["high"] = "edited", record["facts"]["low"]
    unit.write_text(json.dumps(record))
    with caplog.at_level(logging.WARNING):
        study.make_pseudo_masks()
    assert (masks(study, "p1") == 255).all()
    assert "p1: 0.0% foreground is suspect" in caplog.text


def test_thresholds_that_cross_stop_the_stage(study):
    with pytest.raises(RuntimeError, match="0 <= background <= foreground <= 1"):
        study.make_pseudo_masks(foreground=0.1, background=0.5)


def test_softmax_scale_is_another_mask(study):
    before = masks(study, "p1")
    study.make_pseudo_masks(cam_scale="softmax")
    assert not np.array_equal(masks(study, "p1"), before)
