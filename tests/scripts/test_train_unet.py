"""Training a U-Net on a study on disk: whose masks it used, and when it is trained anew."""

import json

import pytest
import torch

from tests.scripts import cohort
from tests.scripts.cohort import weights
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine import decoder_training
from workflow.lib.refine.refiners import load_refiner
from workflow.scripts import train_unet as script

UNET = {
    "encoder": "frozen",
    "context_px": 16,
    "border_weight": 10.0,
    "border_sigma_px": 2.0,
    "choose_by": "last_epoch",
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "precision": "fp32",
    "weight_decay": 1e-4,
    "augment": {"flips": True, "rotations": True, "elastic_px": 3.0, "colour_jitter": 0.1},
}
MASKS = {"p1": 255, "p2": 255, "p3": 255}


def train(study, masks=MASKS, *, out="a", seed=0, negative="normal", **changes):
    settings = UNET | changes | {"seed": seed, "negative": negative}
    made_of = cohort.masked("train_unet", study.root, masks, **settings)
    return study.train(script.train_unet, out, settings, made_of=made_of)


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    study = finished.copy(tmp_path_factory.mktemp("trained") / "study")
    return study, train(study)


def test_it_says_whose_pixel_masks_it_learnt_from(trained):
    study, folder = trained
    facts, record = manifest(folder)["facts"], json.loads((folder / "model.json").read_text())
    assert facts["masks"] == ["p1"]  # n1 is all background, p2 only draws a curve, p3 is tested
    assert facts["chosen_by"].startswith("the last epoch") and facts["best_epoch"] == 2
    assert facts["warning"] == ""
    assert (record["method"], record["encoder"]) == ("unet", "frozen")
    assert record["classifier"] == manifest(study.classifier.with_suffix(""))["recipe"]
    rows = read_table(folder / "curves.tsv")
    splits = ["train", "val"]
    assert [(row["epoch"], row["split"]) for row in rows] == [(e, s) for e in "12" for s in splits]
    assert not list(folder.parent.glob(".*work*"))


def test_an_epoch_chosen_on_validation_slides_counts_their_masks(trained):
    study, _ = trained
    facts = manifest(train(study, out="b", epochs=1, choose_by="validation_loss"))["facts"]
    assert facts["masks"] == ["p1", "p2"]
    assert facts["chosen_by"].startswith("lowest validation loss")


def test_interrupted_and_resumed_gives_the_same_bytes(trained, monkeypatch):
    study, folder = trained
    calls = []

    class Interrupted(script.MaskLesson):
        def validate(self):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return super().validate()

    with monkeypatch.context() as patch:
        patch.setattr(script, "MaskLesson", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(study, out="c")
    assert weights(train(study, out="c")) == weights(folder)


def test_an_edited_mask_trains_anew_and_one_of_a_tested_slide_does_not(trained, monkeypatch):
    study, folder = trained
    recipe = manifest(folder)["recipe"]
    assert manifest(train(study, MASKS | {"p3": 7}))["recipe"] == recipe
    curves = {"curves": [{"epoch": 1, "split": "train", "loss": 0, "lr": 0}], "best_epoch": 1}
    monkeypatch.setattr(decoder_training, "fit", lambda *_, **__: curves | {"validated": False})
    assert manifest(train(study, MASKS | {"p1": 7}, out="d"))["recipe"] != recipe


def test_a_checkpoint_of_other_masks_is_not_gone_on_from(trained, monkeypatch):
    study, _ = trained
    keys = []
    monkeypatch.setattr(decoder_training, "fit", lambda *_, key, **__: keys.append(key) or 1 / 0)
    for masks in (MASKS, MASKS | {"p1": 7}, MASKS | {"p3": 7}):
        with pytest.raises(ZeroDivisionError):
            train(study, masks, out="e")
    assert keys[0] == keys[2] != keys[1]


def test_a_trained_encoder_refines_masks_on_its_own(trained):
    study, _ = trained
    folder = train(study, out="unet", encoder="trained", epochs=1)
    refined = study.refine("unet", folder, downsample=2)
    facts = manifest(refined / "p3")["facts"]
    assert facts["masks"] == ["p1"] and facts["quantity"] == "probability"
    classifier = study.classifier.with_suffix("")
    load = load_refiner(
        "unet",
        {},
        folder,
        Classifier.load(classifier),
        trained_on=manifest(classifier)["recipe"],
        device=torch.device("cpu"),
    )
    with torch.no_grad():
        found = load(torch.rand(1, 3, 64, 64))
    assert found.shape == (1, 64, 64) and 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize(
    ("masks", "negative", "said"),
    [
        (
            {"p2": 1, "p3": 1},
            "normal",
            "Fold 0 has no training slide with a pixel mask .* unet out",
        ),
        ({"p1": 0}, "normal", "all pixels of its training tiles are background, .* masks of p1"),
    ],
)
def test_a_fold_that_teaches_nothing_stops_with_a_sentence(trained, masks, negative, said):
    with pytest.raises(ValueError, match=said):
        train(trained[0], masks, out="f", negative=negative)


def test_slides_of_a_finding_without_a_mask_are_told(trained):
    study, _ = trained
    facts = manifest(train(study, {"p1": 1}, out="g", negative=None, epochs=1))["facts"]
    assert "n1 is left out where pixels are learnt: it is labelled normal" in facts["warning"]
    assert "p2 is left out" in facts["warning"] and facts["masks"] == ["p1"]
    rows = read_table(study.root / "decoders" / "g" / "fold0" / "curves.tsv")
    assert [row["split"] for row in rows] == ["train"]
