"""Training a support vector machine on a study on disk: from whose masks, and what it then says."""

import json

import numpy as np
import pytest

from tests.scripts import cohort
from tests.scripts.conftest import COMPUTE
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import open_group
from workflow.scripts.train_svm import train_svm

SVM = {
    "max_pixels": 200,
    "search_pixels": 100,
    "folds": 2,
    "gamma": [0.5, 2.0],
    "cost": [1.0],
    "foreground_weight": [1.0],
    "illumination_um": 0.0,
    "step_px": 4,
}
MASKS = {"p1": 255, "p2": 255, "p3": 255}


def train(study, masks=MASKS, *, seed=0, negative="normal", **changes):
    settings = SVM | changes | {"seed": seed, "negative": negative}
    index = study.root / "decoders" / "svm" / "fold0.json"
    train_svm(
        [study.tiles],
        study.splits,
        index,
        shard=cohort.masked("train_svm", study.root, masks, **settings),
        fold=0,
        device=COMPUTE["device"],
        threads=COMPUTE["threads"],
        **settings,
    )
    return index.with_suffix("")


def test_it_learns_from_masks_of_training_slides_and_finds_what_they_mark(study):
    folder = train(study)
    facts, record = manifest(folder)["facts"], json.loads((folder / "model.json").read_text())
    assert facts["masks"] == ["p1"] and facts["pixels"] == 200 and facts["warning"] == ""
    assert "2-fold cross-validation over tiles" in facts["chosen_by"]  # n1 has no foreground
    assert record["method"] == "svm"
    assert len(read_table(folder / "cross_validation.tsv")) == 2
    refined = study.refine("svm", folder, downsample=1)
    about = manifest(refined / "p3")["facts"]
    assert about["masks"] == ["p1"] and about["quantity"] == "probability"
    found = open_group(refined / "p3" / "refined.zarr")["probability"][:] / 65535
    half = cohort.TILE_PX // 2
    marked = np.zeros(found.shape, bool)
    marked[:, 2 : half - 2, 2 : half - 2] = True  # the red square is flat, the rest is noise
    assert found[marked].mean() > 0.7 > 0.3 > found[:, half + 4 :, half + 4 :].mean()


def test_the_same_seed_gives_the_same_bytes_and_another_other_pixels(study):
    read = lambda folder: (folder / "model.safetensors").read_bytes()  # noqa: E731
    first, other = read(train(study)), read(train(study, seed=1))
    assert read(train(study)) == first != other


def test_an_edited_mask_of_a_training_slide_counts_and_of_another_does_not(study):
    recipe = manifest(train(study))["recipe"]
    assert manifest(train(study, MASKS | {"p2": 7, "p3": 7}))["recipe"] == recipe
    assert manifest(train(study, MASKS | {"p1": 7}))["recipe"] != recipe


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ({"p2": 1}, "Fold 0 has no training slide with a pixel mask .* leave svm out"),
        ({"p1": 0}, "all pixels of its training tiles are background, and svm has nothing"),
    ],
)
def test_a_fold_that_teaches_nothing_stops_with_a_sentence(study, masks, said):
    with pytest.raises(ValueError, match=said):
        train(study, masks)


def test_slides_of_a_finding_without_a_mask_are_told(study):
    facts = manifest(train(study, {"p1": 1}, negative=None))["facts"]
    assert facts["warning"].startswith("n1 is left out where pixels are learnt: it is labelled")
