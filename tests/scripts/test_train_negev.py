"""Training a decoder on a study on disk: resumable, blind to test slides and to pixel masks."""

import json

import pytest
import torch

from tests.scripts import cohort
from tests.scripts.cohort import weights
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.epoch_choices import EpochChoice
from workflow.scripts import train_negev as script

NEGEV = {
    "background": "official",
    "seeds": "cam",
    "foreground_pixels": 1,
    "background_pixels": 1,
    "dilate_px": 3,
    "seed_weight": 1.0,
    "crf_weight": 0,
    "size_weight": 0,
    "choose_by": "labels",
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "precision": "fp32",
    "weight_decay": 1e-4,
    "augment": {"flips": True, "rotations": True, "crop": 1, "colour_jitter": 0.1},
}


def train(study, *, out="a", known=None, **changes):
    settings = NEGEV | {"seed": 0, "cam_scale": "minmax", "negative": "normal"} | changes
    given = {"cams": [study.cams], "pseudo_masks": [study.pseudo_masks]}
    if known:
        given["made_of"] = cohort.masked("train_negev", study.root, known, **settings)
    return study.train(script.train_negev, f"negev/{out}", settings, **given)


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    study = finished.copy(tmp_path_factory.mktemp("trained") / "study")
    return study, train(study)


def test_it_says_how_it_was_made_and_that_no_pixel_mask_took_part(trained):
    study, folder = trained
    record = json.loads((folder / "model.json").read_text())
    assert manifest(folder)["facts"]["masks"] == []
    assert record["chosen_by"].startswith("the last epoch")
    assert record["method"] == "negev"
    assert record["settings"]["background"] == "official"
    assert record["classifier"] == manifest(study.classifier.with_suffix(""))["recipe"]
    rows = read_table(folder / "curves.tsv")
    assert [(row["epoch"], row["split"]) for row in rows] == [
        ("1", "train"),
        ("1", "val"),
        ("2", "train"),
        ("2", "val"),
    ]
    assert manifest(folder)["facts"]["best_epoch"] == 2
    assert not list(folder.parent.glob(".*work*"))


def test_the_classifier_on_disk_and_what_it_says_are_untouched(trained, finished):
    study, _ = trained
    name = "model.safetensors"
    before = (finished.classifier.with_suffix("") / name).read_bytes()
    assert (study.classifier.with_suffix("") / name).read_bytes() == before


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(trained):
    study, folder = trained
    assert weights(train(study, out="b")) == weights(folder)
    assert weights(train(study, out="c", seed=1)) != weights(folder)


def test_interrupted_and_resumed_gives_the_same_bytes(trained, monkeypatch):
    study, folder = trained
    calls = []

    class Interrupted(script.SeedLesson):
        def validate(self):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt
            return super().validate()

    with monkeypatch.context() as patch:
        patch.setattr(script, "SeedLesson", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(study, out="d")
    assert weights(train(study, out="d")) == weights(folder)


def test_seeds_from_pseudo_masks_are_another_decoder(trained):
    study, folder = trained
    assert weights(train(study, out="e", seeds="pseudo_mask")) != weights(folder)


def test_pseudo_masks_count_only_where_seeds_are_drawn_from_them(trained):
    study, folder = trained
    recipe = manifest(folder)["recipe"]
    masked = manifest(train(study, out="h", seeds="pseudo_mask"))["recipe"]
    study.make_pseudo_masks(foreground=0.5)
    assert manifest(train(study))["recipe"] == recipe
    assert manifest(train(study, out="h", seeds="pseudo_mask"))["recipe"] != masked


def test_masks_of_validation_slides_choose_the_epoch_and_are_counted(trained, monkeypatch):
    """The first epoch is made the best. p2 has a mask and validates, and so does n2 without any."""
    study, folder = trained
    said, known = iter([70.0, 60.0]), {"p1": 255, "p2": 255, "p3": 255}
    real, found = EpochChoice.pxap, []
    monkeypatch.setattr(EpochChoice, "pxap", lambda *a: found.append(real(*a)) or next(said))
    chosen = train(study, out="m", known=known, choose_by="masks", masks=6)
    facts = manifest(chosen)["facts"]
    assert facts["masks"] == ["p2"] and facts["chosen_on"] == ["n2", "p2"]
    assert facts["chosen_by"].startswith("highest PxAP on 2 validation slides")
    assert facts["best_epoch"] == 1 and facts["warning"] == ""
    assert all(0 < each < 100 for each in found) and len(found) == 2
    curves = read_table(chosen / "curves.tsv")
    assert [row.pop("pxap") for row in curves] == ["", "70", "", "60"]
    assert curves == read_table(folder / "curves.tsv")  # the training itself is the same
    assert weights(chosen) != weights(folder) and not list(chosen.parent.glob(".*work*"))
    refined = study.refine("negev", chosen, downsample=2)
    assert manifest(refined / "p3")["facts"]["masks"] == ["p2"]


def test_an_edited_mask_trains_anew_only_where_it_is_looked_at(trained):
    study, known = trained[0], {"p1": 255, "p2": 255, "p3": 255}
    choose = {"out": "e", "choose_by": "masks", "masks": 6, "epochs": 1}
    unit = train(study, known=known, **choose)
    before, index = manifest(unit)["recipe"], unit.with_suffix(".json")
    train(study, known=known | {"p1": 7}, **choose)  # a training slide's
    assert manifest(unit)["recipe"] == before
    assert json.loads(index.read_text())["recipe"]["slides"]["p1"] == "7"  # as Snakemake knows it
    train(study, known=known | {"p2": 7}, **choose)
    assert manifest(unit)["recipe"] != before


def test_without_masks_of_validation_slides_there_is_no_choice(trained):
    with pytest.raises(ValueError, match="Fold 0 has no validation slide .* choose_by to labels"):
        train(trained[0], out="n", known={"p1": 1, "p3": 1}, choose_by="masks", masks=6)


def test_terms_that_are_on_are_told_and_make_another_decoder(trained):
    study, folder = trained
    terms = {"crf_weight": 2e-9, "crf_px": 100.0, "crf_colour": 15.0, "size_weight": 0.01}
    other = train(study, out="o", **terms)
    assert weights(other) != weights(folder)
    rows = read_table(other / "curves.tsv")
    assert {"crf_loss", "size_loss"} == set(rows[0]) - set(read_table(folder / "curves.tsv")[0])
    assert all(float(row["crf_loss"]) > 0 > float(row["size_loss"]) for row in rows)


def test_without_a_negative_class_there_is_no_negative_term(trained):
    study, _ = trained
    rows = read_table(train(study, out="f", negative=None) / "curves.tsv")
    assert {row["negative_loss"] for row in rows} == {"0"}
    rows = read_table(train(study, out="g") / "curves.tsv")
    assert "0" not in {row["negative_loss"] for row in rows if row["split"] == "val"}


def test_a_fold_without_validation_slides_trains_all_the_same(study):
    text = study.splits.read_text()
    study.splits.write_text(text.replace("\tval", "\ttest"))
    study.make_cams()
    study.make_pseudo_masks()
    rows = read_table(train(study) / "curves.tsv")
    assert [(row["epoch"], row["split"]) for row in rows] == [("1", "train"), ("2", "train")]


def test_a_fold_without_training_tiles_stops_with_a_sentence(study):
    text = study.splits.read_text()
    study.splits.write_text(text.replace("\ttrain", "\ttest"))
    study.make_cams()
    study.make_pseudo_masks()
    with pytest.raises(ValueError, match="Fold 0 has no training tile"):
        train(study)


def test_what_a_classifier_says_is_the_same_before_and_after(trained, finished):
    study, _ = trained
    tiles = torch.rand(2, 3, cohort.TILE_PX, cohort.TILE_PX)
    before, after = (
        Classifier.load(s.classifier.with_suffix("")).logits(tiles) for s in (finished, study)
    )
    assert torch.equal(before, after)
