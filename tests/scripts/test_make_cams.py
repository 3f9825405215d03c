"""Cams of a study on disk: aligned with the tiles, of the right class, blind to test labels."""

import shutil

import numpy as np
import pytest
import torch

from tests.scripts import cohort
from workflow.lib.evidence.cams import evidence_class
from workflow.lib.evidence.consistency import Evidence, look
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.tiles.inference import to_input
from workflow.lib.tiles.stores import Tiles, open_group
from workflow.scripts.make_cams import _pool


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


def test_training_slides_show_their_true_class_and_all_others_the_predicted_one(finished):
    assert facts(finished, "p1")["why"] == "true label"
    assert facts(finished, "n1")["why"].startswith("negative slide")
    for slide in ("n2", "p2", "n3", "p3"):
        assert facts(finished, slide)["why"].startswith("predicted")
    assert {facts(finished, slide)["class"] for slide in ("p1", "n1", "n3", "p3")} == {"tumour"}


@pytest.mark.parametrize("slide", ["p2", "p3"])
def test_the_label_of_a_slide_that_is_not_trained_on_changes_nothing(study, monkeypatch, slide):
    before = facts(study, slide), open_group(study.cams.parent / slide / "cams.zarr")["cams"][:]
    monkeypatch.setattr(cohort, "label", lambda slide: "normal")
    study.cams.unlink()
    study.make_cams(negative=None)  # another setting, so that every slide is made anew
    study.make_cams()
    assert facts(study, slide) == before[0]
    cams = open_group(study.cams.parent / slide / "cams.zarr")["cams"][:]
    assert np.array_equal(cams, before[1])


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


def test_the_predicted_class_is_pooled_as_the_scores_are():
    """Most tiles say a little of A, one says much of B: the mean is A, the top tile B."""
    share = np.array([[0.6, 0.3, 0.1]] * 9 + [[0.02, 0.03, 0.95]])
    classes = ["normal", "A", "B"]
    for pooling, expected in (("mean", "A"), ("max", "B"), ("top_k", "B")):
        pooled = _pool(np.log(share), pooling, classes, "normal")
        assert evidence_class(pooled, classes, label=None, negative="normal")[0] == expected
    assert _pool(np.zeros((0, 3)), "max", classes, None).tolist() == [1 / 3] * 3


@pytest.mark.parametrize("cam, size", [("layercam", 2), ("grabcut", 16)])
def test_another_method_shows_the_same_classes_and_logits(study, finished, cam, size):
    study.make_cams(cam, **({"seed": 0} if cam == "grabcut" else {}))
    folder = study.cams_by(cam).parent
    for slide in ("p1", "n3"):
        group = open_group(folder / slide / "cams.zarr")
        assert group["cams"].shape == (cohort.COUNT, 2, size, size)
        assert group["cams"][:].min() >= 0
        before = open_group(finished.cams.parent / slide / "cams.zarr")
        assert np.array_equal(group["logits"][:], before["logits"][:])
        seen = manifest(folder / slide)["facts"]
        assert seen["cam"] == cam and facts(finished, slide)["cam"] == "cam"
        assert [seen[key] for key in ("class", "why", "tiles")] == [
            facts(finished, slide)[key] for key in ("class", "why", "tiles")
        ]
    assert open_group(folder / "empty" / "cams.zarr")["cams"].shape == (0, 2, size, size)
    assert manifest(folder / "quarantined")["verdict"] == "E_MPP"


def test_the_lowest_evidence_of_a_mask_is_nothing_even_where_all_of_it_is_foreground(
    study, monkeypatch
):
    ones = lambda tiles, salient, seed: torch.ones(len(tiles), 2, 16, 16)  # noqa: E731
    monkeypatch.setattr("workflow.lib.evidence.cam_makers.cut_tiles", ones)
    study.make_cams("grabcut", seed=0)
    seen = manifest(study.cams_by("grabcut").parent / "p3")["facts"]
    assert (seen["low"], seen["high"]) == (0, 1)


def test_views_change_cams_and_not_logits(study, finished):
    study.make_cams(scales=[1.0, 1.5], flips=True)
    before, after = cams_of(finished, "p3"), cams_of(study, "p3")
    assert np.array_equal(before["logits"][:], after["logits"][:])
    assert before["cams"].shape == after["cams"].shape
    assert before["cams"][:] != pytest.approx(after["cams"][:], abs=1e-3)


@pytest.fixture(scope="module")
def corrected(finished, tmp_path_factory):
    """A study whose cams are half what training images say of alike locations."""
    root = tmp_path_factory.mktemp("corrected") / "study"
    shutil.copytree(finished.root, root)
    study = type(finished)(root)
    study.pool_evidence()
    study.make_cams(consistency=0.5)
    study.make_pseudo_masks()
    return study


def cams_of(study, slide):
    return open_group(study.cams.parent / slide / "cams.zarr")


def test_consistent_cams_are_finer_and_mixed_as_said(finished, corrected):
    model = Classifier.load(corrected.classifier.with_suffix(""))
    shared = Evidence.load(corrected.evidence.with_suffix(""))
    store = Tiles(corrected.tiles.parent / "p3" / "tiles.zarr")
    with torch.no_grad():
        tiles = to_input(store.batch(range(len(store))), torch.device("cpu"))
        own, maps = look(model, tiles, 2)
    own = torch.nn.functional.interpolate(own, (8, 8), mode="bilinear")
    expected = (own + shared.of(maps)) / 2
    found = cams_of(corrected, "p3")["cams"][:]
    assert found.dtype == np.float16 and found.shape == (5, 2, 8, 8)
    assert found == pytest.approx(expected.numpy(), rel=2e-3, abs=2e-3)
    assert cams_of(finished, "p3")["cams"].shape == (5, 2, 2, 2)
    assert cams_of(corrected, "empty")["cams"].shape == (0, 2, 8, 8)


@pytest.mark.parametrize("slide", ["n1", "n2", "n3", "p1", "p2", "p3", "empty"])
def test_consistency_changes_where_but_not_what(finished, corrected, slide):
    """Logits and the class that is shown are those of the classifier alone; the bounds are not."""
    before, after = cams_of(finished, slide), cams_of(corrected, slide)
    assert np.array_equal(before["logits"][:], after["logits"][:])
    one, other = facts(finished, slide), facts(corrected, slide)
    assert (one["class"], one["why"]) == (other["class"], other["why"])
    if slide != "empty":
        assert (one["low"], one["high"]) != (other["low"], other["high"])


def test_the_bounds_of_consistent_cams_are_theirs(corrected):
    cams, seen = cams_of(corrected, "p1")["cams"][:], facts(corrected, "p1")
    good = np.arange(cohort.COUNT) != cohort.UNREADABLE["p1"]
    assert (seen["low"], seen["high"]) == (cams[good, 1].min(), cams[good, 1].max())


def test_what_follows_takes_the_finer_cams(corrected):
    masks = open_group(corrected.pseudo_masks.parent / "p1" / "pseudo_masks.zarr")["pseudo_masks"]
    assert masks.shape == (cohort.COUNT, cohort.TILE_PX, cohort.TILE_PX)
    assert len(np.unique(masks[:])) > 1


def test_other_evidence_makes_the_cams_anew(corrected, tmp_path):
    shutil.copytree(corrected.root, tmp_path / "study")
    study = type(corrected)(tmp_path / "study")
    before = manifest(study.cams.parent / "p3")["recipe"]
    study.make_cams(consistency=0.5)
    assert manifest(study.cams.parent / "p3")["recipe"] == before
    study.pool_evidence(count=3)
    study.make_cams(consistency=0.5)
    assert manifest(study.cams.parent / "p3")["recipe"] != before
