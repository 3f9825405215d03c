"""Cams of a study on disk: aligned with the tiles, of the right class, blind to test labels."""

import numpy as np
import pytest
import torch

from tests.scripts import cohort
from workflow.lib.classifiers import Classifier
from workflow.lib.inference import to_input
from workflow.lib.stores import Tiles, open_group
from workflow.lib.units import manifest


def facts(study, slide):
    return manifest(study.cams.parent / slide)["facts"]


def test_cams_are_the_head_at_every_location_and_their_mean_is_the_logit(finished):
    model = Classifier.load(finished.classifier.with_suffix(""))
    store = Tiles(finished.tiles.parent / "p3" / "tiles.zarr")
    group = open_group(finished.cams.parent / "p3" / "cams.zarr")
    with torch.no_grad():
        tiles = to_input(store.batch(range(len(store))), torch.device("cpu"))
        expected, logits = model.cam(tiles).numpy(), model.logits(tiles).numpy()
    assert group["cams"].dtype == np.float16
    assert group["cams"][:] == pytest.approx(expected, rel=2e-3, abs=2e-3)
    assert group["logits"][:] == pytest.approx(logits, rel=1e-4, abs=1e-5)
    assert group.attrs["classes"] == cohort.CLASSES


def test_known_slides_show_their_true_class_and_test_slides_the_predicted_one(finished):
    assert facts(finished, "p1")["why"] == facts(finished, "p2")["why"] == "true label"
    assert facts(finished, "n1")["why"].startswith("negative slide")
    for slide in ("n3", "p3"):
        assert facts(finished, slide)["why"].startswith("predicted")
    assert {facts(finished, slide)["class"] for slide in ("p1", "n1", "n3", "p3")} == {"tumour"}


def test_the_label_of_a_test_slide_changes_nothing(study, monkeypatch):
    before = facts(study, "p3"), open_group(study.cams.parent / "p3" / "cams.zarr")["cams"][:]
    monkeypatch.setattr(cohort, "label", lambda slide: "normal")
    study.cams.unlink()
    study.make_cams(negative=None)  # another setting, so that every slide is made anew
    study.make_cams()
    assert facts(study, "p3") == before[0]
    assert np.array_equal(open_group(study.cams.parent / "p3" / "cams.zarr")["cams"][:], before[1])


def test_without_a_negative_class_normal_is_evidence_like_any_other(study):
    study.make_cams(negative=None)
    assert facts(study, "n1")["class"] == "normal"
    assert facts(study, "n1")["why"] == "true label"


def test_low_and_high_are_of_the_slide_without_tiles_that_could_not_be_read(finished):
    cams = open_group(finished.cams.parent / "p1" / "cams.zarr")["cams"][:]
    good = np.arange(cohort.COUNT) != cohort.UNREADABLE["p1"]
    seen = facts(finished, "p1")
    assert seen["low"] == cams[good, 1].min()
    assert seen["high"] == cams[good, 1].max()


def test_a_slide_without_tiles_has_empty_cams_of_the_right_shape(finished):
    group = open_group(finished.cams.parent / "empty" / "cams.zarr")
    assert group["cams"].shape == (0, 2, 2, 2)
    assert group["logits"].shape == (0, 2)
    assert manifest(finished.cams.parent / "empty")["verdict"] == "ok_empty"


def test_a_quarantined_slide_keeps_its_verdict(finished):
    assert manifest(finished.cams.parent / "quarantined")["verdict"] == "E_MPP"


def test_the_batch_size_changes_nothing(study):
    first = open_group(study.cams.parent / "p3" / "cams.zarr")["cams"][:]
    study.make_cams(negative=None)
    study.make_cams(batch=5)
    again = open_group(study.cams.parent / "p3" / "cams.zarr")["cams"][:]
    assert again == pytest.approx(first, abs=2e-3)


def test_tiles_of_another_size_are_refused_with_the_slide_named(study):
    folder = study.classifier.with_suffix("")
    record = (folder / "model.json").read_text()
    (folder / "model.json").write_text(record.replace('"tile_px": 64', '"tile_px": 224'))
    with pytest.raises(RuntimeError, match=r"empty: .* takes tiles of 224 px, but these have 64"):
        study.make_cams(negative=None)
