"""Training on points on a study on disk: resumable, and only on those of training slides."""

import numpy as np
import pytest

from tests.scripts import cohort
from tests.scripts.cohort import weights
from workflow.lib.jobs.shard import visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.networks.saved_models import read_record
from workflow.lib.tiles.stores import create_group, write_rows
from workflow.scripts import train_points as script

SETTINGS = {
    "negative": "normal",
    "cam_scale": "minmax",
    "radius_um": 3.0,
    "use_cam": False,
    "foreground_pixels": 1,
    "background_pixels": 1,
    "dilate_px": 3,
    "seed_weight": 1.0,
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "precision": "fp32",
    "weight_decay": 1e-4,
    "augment": {"flips": True, "rotations": True, "crop": 1, "colour_jitter": 0.1},
    "seed": 0,
}
# Tiles lie side by side, 64 px each; the third of p1 cannot be read.
POINTS = {
    "p1": ([[10, 10], [10, 74], [50, 100], [10, 140]], [1, 1, 0, 1]),
    "p2": ([[10, 10]], [1]),
    "p3": ([[10, 10]], [1]),
}


def mark(study, points=POINTS, refused=()):
    """What check_points leaves behind; a unit is made anew where its points are others."""
    made_of = cohort.shard("check_points")
    made_of.recipe["slides"] = {s: points.get(s) for s in cohort.SPLITS}

    def work(slide, folder):
        if slide.slide in refused:
            raise Quarantine("E_POINTS", f"{slide.slide}: no good.")
        places, sides = points.get(slide.slide, ([], []))
        group = create_group(folder / "points.zarr")
        write_rows(group, "places_px0", np.array(places, float).reshape(-1, 2))
        write_rows(group, "sides", np.array(sides, np.uint8))
        return {"points": len(places)}

    visit(study.root / "points" / "all.json", made_of, work, upstream=[study.tiles.parent])


def train(study, out="points", **changes):
    settings = SETTINGS | changes
    cams = [study.cams] if settings["use_cam"] else None
    points = [study.root / "points" / "all.json"]
    return study.train(script.train_points, out, settings, cams=cams, points=points)


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory):
    study = finished.copy(tmp_path_factory.mktemp("trained") / "study")
    mark(study)
    return study, train(study)


def test_it_says_from_how_many_points_of_which_slides_it_learnt(trained):
    study, folder = trained
    facts = manifest(folder)["facts"]
    assert facts["points"] == 3  # of four of p1, one in a tile that cannot be read
    assert facts["masks"] == ["p1"]
    assert facts["warning"] == ""
    record = read_record(folder)
    assert record["method"] == "points" and record["masks"] == ["p1"]
    assert record["classifier"] == manifest(study.classifier.with_suffix(""))["recipe"]
    rows = read_table(folder / "curves.tsv")
    assert [(row["epoch"], row["split"]) for row in rows] == [("1", "train"), ("2", "train")]
    assert all(float(row["seed_loss"]) > 0 and float(row["negative_loss"]) > 0 for row in rows)


def test_interrupted_and_resumed_gives_the_same_bytes(trained, monkeypatch):
    study, folder = trained
    calls = []

    class Interrupted(script.PointLesson):
        def validate(self):
            calls.append(1)
            if len(calls) == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(script, "PointLesson", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(study, out="resumed")
    assert weights(train(study, out="resumed")) == weights(folder)


def test_cams_are_looked_at_only_if_wanted(trained):
    study, folder = trained
    with_cam = train(study, out="cam", use_cam=True)
    assert weights(with_cam) != weights(folder)
    assert manifest(with_cam)["facts"]["masks"] == ["p1"]


def test_only_points_of_training_slides_count(trained):
    study, folder = trained
    recipe = manifest(folder)["recipe"]
    mark(study, POINTS | {"p2": ([[1, 1]], [0]), "p3": ([], [])})
    assert manifest(train(study))["recipe"] == recipe
    mark(study, POINTS | {"p1": ([[10, 10], [20, 20]], [1, 1])})
    again = train(study)
    assert manifest(again)["recipe"] != recipe
    assert manifest(again)["facts"]["points"] == 2


def test_points_that_were_refused_are_warned_of(study):
    given = POINTS | {"n1": ([[1, 1]], [0])}
    mark(study, given, refused=["n1"])
    facts = manifest(train(study, epochs=1))["facts"]
    assert facts["warning"] == "n1: no good." and facts["masks"] == ["p1"]


@pytest.mark.parametrize(
    "points",
    [
        {"p3": POINTS["p3"]},  # of a slide that is tested
        {"p1": ([[10, 10]], [0]), "n1": ([[10, 10]], [0])},  # of the background alone
    ],
)
def test_a_fold_without_points_of_the_foreground_stops_with_a_sentence(study, points):
    mark(study, points)
    with pytest.raises(ValueError, match="Fold 0 has no point of the foreground in a tile"):
        train(study)


def test_refined_masks_carry_the_slides_that_were_learnt_from(study):
    mark(study)
    refined = study.refine("points", train(study, epochs=1), downsample=4)
    facts = manifest(refined / "p3")["facts"]
    assert facts["masks"] == ["p1"] and facts["quantity"] == "probability"
