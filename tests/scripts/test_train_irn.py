"""Training an IRNet on a study on disk, and the masks that are refined with it."""

import json

import numpy as np
import pytest

from tests.scripts.cohort import probability, weights
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.scripts import train_irn as script

IRN = {
    "foreground": 0.6,
    "background": 0.3,
    "random_field": False,
    "radius": 3,
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "displacement_learning_rate_factor": 10.0,
    "precision": "fp32",
    "weight_decay": 1e-4,
    "augment": {"flips": True, "rotations": True, "crop": 0.5, "colour_jitter": 0.1},
}
CRF = {
    "position_um": 9.0,
    "colour": 20.0,
    "bilateral_weight": 3.0,
    "smooth_um": 2.0,
    "smooth_weight": 1.0,
    "iterations": 3,
}
WALK = {"radius": 3, "beta": 10.0, "steps": 16, "instances": False}


def train(study, *, out="a", seed=0, cam_scale="minmax", negative="normal", **changes):
    settings = IRN | changes | {"seed": seed, "cam_scale": cam_scale, "negative": negative}
    return study.train(script.train_irn, f"irn/{out}", settings, cams=[study.cams])


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    study = finished.copy(tmp_path_factory.mktemp("trained") / "study")
    return study, train(study)


def test_it_says_how_it_was_made_and_that_no_pixel_mask_took_part(trained, finished):
    study, folder = trained
    record, facts = json.loads((folder / "model.json").read_text()), manifest(folder)["facts"]
    assert facts["masks"] == [] and facts["warning"] is None
    assert (facts["best_epoch"], facts["precision"]) == (2, "fp32")
    assert record["chosen_by"].startswith("the last epoch")
    assert record["method"] == "irn"
    assert record["settings"]["foreground"] == 0.6
    assert record["classifier"] == manifest(study.classifier.with_suffix(""))["recipe"]
    rows = read_table(folder / "curves.tsv")
    assert [(row["epoch"], row["split"]) for row in rows] == [
        ("1", "train"),
        ("1", "val"),
        ("2", "train"),
        ("2", "val"),
    ]
    assert not list(folder.parent.glob(".*work*"))
    frozen = [weights(s.classifier.with_suffix("")) for s in (study, finished)]
    assert frozen[0] == frozen[1]


def test_another_seed_is_another_network(trained):
    study, folder = trained
    assert weights(train(study, out="b", seed=1)) != weights(folder)


def test_interrupted_and_resumed_gives_the_same_bytes(trained, monkeypatch):
    study, folder = trained
    calls = []

    class Interrupted(script.AffinityLesson):
        def validate(self):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return super().validate()

    with monkeypatch.context() as patch:
        patch.setattr(script, "AffinityLesson", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(study, out="c")
    assert weights(train(study, out="c")) == weights(folder)


def test_the_random_field_changes_what_is_learnt(trained):
    study, folder = trained
    assert weights(train(study, out="d", random_field=True, crf=CRF)) != weights(folder)


def test_slides_of_the_negative_class_hold_no_foreground(trained, monkeypatch):
    study, _ = trained
    seen = []
    monkeypatch.setattr(script, "label_bag", lambda bag, **cuts: seen.append(bag) or _none(bag))
    warned = manifest(train(study, out="e", epochs=1))["facts"]["warning"]
    assert warned.startswith("No training tile of fold 0 has both") and "random_field" in warned
    train(study, out="f", epochs=1, negative=None)
    slides = [bag.tiles.slides[k] for bag in seen[:2] for k in bag.tiles.slide[bag.negative]]
    assert set(slides) == {"n1", "n2"}
    assert not any(bag.negative.any() for bag in seen[2:])


def _none(bag):
    return bag.negative.new_zeros((len(bag.tiles), 16, 16)).byte()


def test_a_fold_without_validation_or_training_slides(study):
    text = study.splits.read_text()
    study.splits.write_text(text.replace("\tval", "\ttest"))
    study.make_cams()
    rows = read_table(train(study, epochs=1) / "curves.tsv")
    assert [(row["epoch"], row["split"]) for row in rows] == [("1", "train")]
    study.splits.write_text(text.replace("\ttrain", "\ttest"))
    study.make_cams()
    with pytest.raises(ValueError, match="Fold 0 has no training tile"):
        train(study)


def refine(study, decoder, *, cam_scale="minmax", **changes):
    if decoder is None:
        return study.refine("none", downsample=2, cam_scale=cam_scale)
    return study.refine("irn", decoder, downsample=2, cam_scale=cam_scale, irn=WALK | changes)


def test_refined_masks_are_the_evidence_after_its_walk(trained):
    study, decoder = trained
    cam, walked = (
        probability(refine(study, None), "p3"),
        probability(refine(study, decoder), "p3"),
    )
    assert walked.shape == cam.shape
    assert not np.allclose(walked, cam, atol=0.01)
    # No tile gets hotter or colder, but for what the average over 2 x 2 pixels does.
    assert walked.max(axis=(1, 2)) == pytest.approx(cam.max(axis=(1, 2)), abs=0.02)


@pytest.mark.parametrize("scale, quantity", [("minmax", "evidence"), ("softmax", "probability")])
def test_the_walk_can_be_changed_without_training(trained, scale, quantity):
    study, decoder = trained
    before = probability(refine(study, decoder, cam_scale=scale), "n3")
    folder = refine(study, decoder, cam_scale=scale, steps=1, radius=2)
    assert not np.allclose(probability(folder, "n3"), before, atol=0.001)
    assert manifest(folder / "n3")["facts"]["quantity"] == quantity
    assert probability(folder, "empty").shape == (0, 32, 32)


def test_instances_are_another_map(trained):
    study, decoder = trained
    together = probability(refine(study, decoder, steps=2), "p3")
    apart = probability(refine(study, decoder, steps=2, instances=True), "p3")
    assert apart.shape == together.shape and 0 < apart.max() <= 1
