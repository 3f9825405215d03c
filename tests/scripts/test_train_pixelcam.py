"""Training a pixel classifier on a study on disk: from evidence alone, the same every time."""

import numpy as np
import pytest

from tests.scripts import cohort
from tests.scripts.conftest import COMPUTE
from workflow.lib.jobs.units import manifest
from workflow.scripts.train_pixelcam import train_pixelcam

PIXELCAM = {
    "foreground": 0.6,
    "background": 0.3,
    "stride": 8,
    "locations_per_tile": 20,
    "max_tiles": 100,
    "penalty": 10.0,
    "negative": "normal",
    "cam_scale": "minmax",
    "seed": 0,
}


def train(study, *, batch=3, **changes):
    settings = PIXELCAM | changes
    index = study.root / "decoders" / "pixelcam" / "fold0.json"
    train_pixelcam(
        *([study.tiles], [study.cams], study.splits, study.classifier, index),
        shard=cohort.shard("train_pixelcam", **settings),
        fold=0,
        **settings,
        **(COMPUTE | {"batch": batch}),
    )
    return index.with_suffix("")


def test_it_learns_from_training_slides_and_refines_the_others(study):
    folder = train(study)
    facts = manifest(folder)["facts"]
    assert facts["trained_on"] == ["n1", "p1"] and facts["chosen_on"] == facts["masks"] == []
    assert facts["seeds"][0] > 5 * 20 - 1 and facts["seeds"][1] > 0  # n1 is background throughout
    refined = study.refine("pixelcam", folder)
    found = cohort.probability(refined, "p3")
    assert found.shape == (cohort.COUNT, 64, 64) and found.std() > 0.05
    assert manifest(refined / "p3")["facts"]["quantity"] == "probability"
    assert found.mean() > cohort.probability(refined, "n3").mean() + 0.05


def test_the_same_again_whatever_the_batch(study):
    first = cohort.weights(train(study))
    again = study.copy(study.root.with_name("again"))
    (again.root / "decoders" / "pixelcam" / "fold0.json").unlink()
    assert cohort.weights(train(again)) == first
    one = cohort.probability(study.refine("pixelcam", train(study)), "p3")
    other = study.copy(study.root.with_name("other"))
    two = cohort.probability(other.refine("pixelcam", train(other, batch=5)), "p3")
    assert np.corrcoef(one.ravel(), two.ravel())[0, 1] > 0.9  # other draws, the same finding


def test_evidence_that_is_never_sure_stops_it_with_what_to_do(study):
    with pytest.raises(ValueError, match=r"Fold 0 has no foreground .* nowhere at 1.0"):
        train(study, foreground=1.0, background=0.99, negative="normal", max_tiles=1, seed=1)
