"""The machine: as scikit-learn's, its choice and its probability out of fold, saved and loaded."""

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from workflow.lib.refine.pixel_features import describe_pixels
from workflow.lib.refine.pixel_samples import Pixels
from workflow.lib.refine.pixel_svm import PixelSvm, load_svm, scale
from workflow.lib.refine.svm_fitting import fit_sigmoid, fit_svm

FIT = {
    "gamma": [0.5],
    "cost": [1.0],
    "foreground_weight": [1.0],
    "folds": 3,
    "search_pixels": 200,
    "illumination_px": 0.0,
    "step_px": 1,
    "seed": 0,
    "threads": 1,
}


def pixels(count=240, patients=4, seed=0):
    """Foreground inside of a ring in two of the features; one is noise, the others are constant."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 24)).astype(np.float32)
    features[:, 3:] = 3.0
    truth = np.hypot(features[:, 0], features[:, 1]) < 1.1
    groups = np.arange(count) % patients
    return Pixels(torch.from_numpy(features), truth, groups, np.arange(count) // 10)


@pytest.fixture(scope="module")
def fitted():
    return fit_svm(pixels(), **FIT)


def test_features_are_scaled_by_those_of_training_pixels():
    low, high = torch.tensor([0.0, -2.0, 5.0]), torch.tensor([4.0, 2.0, 5.0])
    found = scale(torch.tensor([[0.0, 2.0, 5.0], [3.0, 0.0, 9.0], [8.0, 0.0, 5.0]]), low, high)
    assert found.tolist() == [[-1, 1, 0], [0.5, 0, 0], [3, 0, 0]]


def test_decisions_are_those_of_scikit_learn(fitted):
    model, _, _ = fitted
    known, others = pixels(), pixels(seed=1)
    low, high = known.features.amin(0), known.features.amax(0)
    svc = SVC(gamma=0.5, C=1.0).fit(scale(known.features, low, high).numpy(), known.truth)
    expected = svc.decision_function(scale(others.features, low, high).numpy())
    assert model.decide(others.features).numpy() == pytest.approx(expected, abs=1e-3)
    assert ((expected > 0) == others.truth).mean() > 0.8


def test_the_choice_with_the_best_average_precision_out_of_fold_is_taken():
    model, rows, said = fit_svm(pixels(), **FIT | {"gamma": [1e-5, 0.5], "cost": [0.1, 1.0]})
    assert [(row["gamma"], row["cost"]) for row in rows] == [
        (g, c) for g in (1e-5, 0.5) for c in (0.1, 1.0)
    ]
    best = max(rows, key=lambda row: row["average_precision"])
    assert best["gamma"] == 0.5 == model.numbers["gamma"]
    assert f"gamma 0.5, C {best['cost']:g} and foreground weight 1: the best average" in said
    assert said.endswith("3-fold cross-validation over patients of training slides")


def test_patients_are_held_out_whole():
    """A feature that only names the patient helps nobody who is held out."""
    known = pixels(patients=6)
    known.features[:, 1] = 0
    truth = (known.patients % 2).astype(bool) ^ (np.arange(240) % 10 == 0)
    known.features[:, 0] = torch.from_numpy(known.patients.astype(np.float32))
    known = Pixels(known.features, truth, known.patients, known.tiles)
    _, rows, _ = fit_svm(known, **FIT | {"gamma": [50.0], "folds": 6})
    assert rows[0]["average_precision"] < 0.7  # by tiles it would be above 0.9


def test_one_patient_is_cross_validated_over_tiles_and_one_tile_not_at_all():
    one = pixels(patients=1)
    assert fit_svm(one, **FIT)[2].endswith("over tiles of training slides")
    alone = Pixels(one.features, one.truth, one.patients, np.zeros(240, int))
    with pytest.raises(ValueError, match="svm cannot be cross-validated"):
        fit_svm(alone, **FIT)


def test_the_probability_is_right_as_often_as_it_says():
    rng = np.random.default_rng(0)
    decisions = rng.normal(size=20_000)
    truth = rng.random(20_000) < 1 / (1 + np.exp(-(2 * decisions - 0.5)))
    assert fit_sigmoid(decisions, truth) == pytest.approx((2, -0.5), abs=0.1)
    slope, offset = fit_sigmoid(np.array([-1.0, -1, 1, 1]), np.array([False, False, True, True]))
    sure = 1 / (1 + np.exp(-(slope + offset)))
    assert sure == pytest.approx(3 / 4, abs=1e-3)  # Platt's target of two pixels, not 1


def test_a_tile_is_judged_pixel_by_pixel_and_between_the_steps_linearly(fitted):
    base, _, _ = fitted
    tile = torch.rand(2, 3, 15, 15, generator=torch.Generator().manual_seed(0))
    full = base.probability(tile)
    assert full.shape == (2, 15, 15)
    numbers = base.numbers
    decisions = base.decide(describe_pixels(tile, illumination_px=0)[0, :, 4, 7][None])
    expected = torch.sigmoid(numbers["slope"] * decisions + numbers["offset"])
    assert full[0, 4, 7] == pytest.approx(expected.item(), abs=1e-5)
    parts = (base.vectors, base.dual, base.low, base.high)
    for step in (2, 3):
        coarse = PixelSvm(*parts, **numbers | {"step_px": step}).probability(tile)
        seen = slice(step // 2, None, step)
        assert coarse[:, seen, seen] == pytest.approx(full[:, seen, seen], abs=1e-5)
        line = coarse[0, step // 2].tolist()
        first, second = line[step // 2], line[step // 2 + step]
        assert line[step // 2 + 1] == pytest.approx(first + (second - first) / step, abs=1e-5)
        assert line[0] == pytest.approx(first, abs=1e-5)  # an edge is as the first that is judged


def test_saved_and_loaded_it_says_the_same_and_damage_is_named(fitted, tmp_path):
    model, _, _ = fitted
    model.save(tmp_path, {"method": "svm"})
    features = pixels(seed=2).features
    assert torch.equal(load_svm(tmp_path).decide(features), model.decide(features))
    file = tmp_path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="model.safetensors is not the file"):
        load_svm(tmp_path)
