"""A classifier whose epoch pixel masks choose, on a study with masks."""

import pytest

from tests.scripts import cohort
from tests.scripts.classified import SETTINGS
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.refine.epoch_choices import EpochChoice
from workflow.scripts.train_classifier import train_classifier

MASKS = {"p1": 255, "p2": 255, "p3": 255}
CHOOSE = {"choose_by": "masks", "masks": 6, "negative": "normal", "cam_scale": "softmax"}


def train(root, out, known=MASKS, **changes):
    settings = SETTINGS | {"classes": cohort.CLASSES, "epochs": 3, "batch_size": 3} | changes
    index = root / out / "fold0.json"
    train_classifier(
        [root / "tiles" / "all.json"],
        root / "splits.tsv",
        *(None, None, None),
        index,
        shard=cohort.masked("train_classifier", root, known, **settings),
        fold=0,
        **settings,
        weights=None,
        device="cpu",
        threads=1,
        work=index.with_name(".work"),
    )
    return index.with_suffix("")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    cohort.build(root)
    return root


def test_the_cams_choose_among_all_epochs_and_the_masks_are_counted(root, monkeypatch):
    """Patience is for losses: PxAP goes up and down."""
    said, seen, real = iter([70.0, 50.0, 60.0]), [], EpochChoice.pxap
    monkeypatch.setattr(EpochChoice, "pxap", lambda *a: seen.append(real(*a)) or next(said))
    chosen = train(root, "chosen", **CHOOSE, patience=1)
    facts, curves = manifest(chosen)["facts"], read_table(chosen / "curves.tsv")
    assert facts["masks"] == ["p2"] and facts["chosen_on"] == ["n2", "p2"]
    assert facts["best_epoch"] == 1 and len(seen) == 3 and all(0 < each < 100 for each in seen)
    assert facts["chosen_by"] == "highest PxAP on 2 validation slides whose pixels are known"
    assert [row["pxap"] for row in curves if row["split"] == "val"] == ["70", "50", "60"]
    by_labels = train(root, "by_labels", patience=9)
    facts = manifest(by_labels)["facts"]
    assert facts["masks"] == [] and "lowest validation loss" in facts["chosen_by"]
    assert [{k: row[k] for k in row if k != "pxap"} for row in curves] == read_table(
        by_labels / "curves.tsv"
    )


def test_an_edited_mask_chooses_anew_and_one_of_another_slide_does_not(root):
    unit = train(root, "edited", **CHOOSE, epochs=1)
    before = manifest(unit)["recipe"]
    train(root, "edited", MASKS | {"p1": 7, "p3": 7}, **CHOOSE, epochs=1)  # learnt from, tested
    assert manifest(unit)["recipe"] == before
    train(root, "edited", MASKS | {"p2": 7}, **CHOOSE, epochs=1)
    assert manifest(unit)["recipe"] != before


def test_without_a_mask_of_a_validation_slide_it_stops_before_training(root):
    with pytest.raises(ValueError, match="Fold 0 has no validation slide .* choose_by to labels"):
        train(root, "none", {"p1": 1, "p3": 1}, **CHOOSE)
