"""Training RPNet on a study on disk: resumable, and its bank is of training slides only."""

import json
import shutil

import pytest

from tests.scripts import cohort
from tests.scripts.cohort import weights
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.saved_models import read_record
from workflow.lib.refine.epoch_choices import EpochChoice
from workflow.lib.tiles.stores import open_group
from workflow.scripts import train_rpnet as script

SETTINGS = {
    "negative": "normal",
    "cam_scale": "minmax",
    "foreground": 0.6,
    "background": 0.3,
    "resolutions": 2,
    "dim": 4,
    "prototypes": 2,
    "temperature": 0.1,
    "consistency_weight": 1.0,
    "foreground_pixels": 1,
    "background_pixels": 1,
    "dilate_px": 3,
    "seed_weight": 1.0,
    "choose_by": "labels",
    "epochs": 2,
    "batch_size": 5,
    "learning_rate": 1e-3,
    "precision": "fp32",
    "weight_decay": 1e-4,
    "augment": {"flips": True, "rotations": True, "crop": 1, "colour_jitter": 0.1},
    "seed": 0,
}


def train(study, out="rpnet", known=None, **changes):
    settings, given = SETTINGS | changes, {"cams": [study.cams]}
    if known:
        given["made_of"] = cohort.masked("train_rpnet", study.root, known, **settings)
    return study.train(script.train_rpnet, out, settings, **given)


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    study = finished.copy(tmp_path_factory.mktemp("trained") / "study")
    return study, train(study)


def test_it_says_how_it_was_made_and_that_no_pixel_mask_took_part(trained):
    study, folder = trained
    record = read_record(folder)
    assert manifest(folder)["facts"]["masks"] == []
    assert record["method"] == "rpnet"
    assert record["classifier"] == manifest(study.classifier.with_suffix(""))["recipe"]
    rows = read_table(folder / "curves.tsv")
    told = [(row["epoch"], row["split"], row["consistency_loss"] != "") for row in rows]
    assert told == [(e, s, True) for e in ("1", "2") for s in ("train", "val")]
    assert not list(folder.parent.glob(".*work*"))


def test_masks_choose_the_epoch_by_what_the_bank_of_that_epoch_gives(trained, monkeypatch):
    """Before its bank is filled, a decoder is another one than that of other slides."""
    study, folder = trained
    events, said = [], iter([60.0, 70.0])
    fill, real = script.RegionLesson.fill_bank, EpochChoice.pxap

    def pxap(choice, show):
        events.append("judged")
        assert 0 < real(choice, show) < 100
        return next(said)

    def fill_bank(lesson):
        events.append("filled")
        fill(lesson)

    monkeypatch.setattr(script.RegionLesson, "fill_bank", fill_bank)
    monkeypatch.setattr(EpochChoice, "pxap", pxap)
    chosen = train(study, out="chosen", known={"p2": 255}, choose_by="masks", masks=6)
    facts = manifest(chosen)["facts"]
    assert facts["masks"] == ["p2"] and facts["best_epoch"] == 2
    assert events == ["filled", "judged", "filled", "judged", "filled"]
    assert weights(chosen) == weights(folder)  # the second epoch is the last as well
    train(study, out="chosen", known={"p1": 255, "p2": 255}, choose_by="masks", masks=6)
    assert len(events) == 5  # a mask of a training slide is not looked at


def test_interrupted_and_resumed_gives_the_same_bytes(trained, monkeypatch):
    study, folder = trained

    class Interrupted(script.RegionLesson):
        def validate(self):
            if self.model.learnt["head"].weight.grad is not None and calls:
                raise KeyboardInterrupt
            calls.append(1)
            return super().validate()

    calls = []
    with monkeypatch.context() as patch:
        patch.setattr(script, "RegionLesson", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(study, out="resumed")
    assert calls == [1]
    assert weights(train(study, out="resumed")) == weights(folder)


def test_validation_and_test_slides_leave_weights_and_prototypes_alone(trained, tmp_path):
    study, folder = trained
    shutil.copytree(study.root, tmp_path / "study")
    other = type(study)(tmp_path / "study")
    other.splits.write_text(other.splits.read_text().replace("\tval", "\ttest"))
    other.make_cams()
    assert weights(train(other, out="other")) == weights(folder)


def test_a_fold_without_training_tiles_stops_with_a_sentence(study):
    study.splits.write_text(study.splits.read_text().replace("\ttrain", "\ttest"))
    study.make_cams()
    with pytest.raises(ValueError, match="Fold 0 has no training tile"):
        train(study)


def test_what_it_learnt_refines_tiles(trained):
    study, folder = trained
    refined = study.refine("rpnet", folder, downsample=4)
    assert sorted(json.loads((refined / "all.json").read_text())["units"]) == [
        "empty",
        "n2",
        "n3",
        "p2",
        "p3",
    ]
    found = open_group(refined / "p3" / "refined.zarr")["probability"][:]
    assert found.shape == (cohort.COUNT, 16, 16)
    assert found.std() > 0
    assert manifest(refined / "p3")["facts"]["quantity"] == "probability"
