"""Monitors: a probe says how well classes can be told apart on slides that it was not fitted to."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from workflow.lib.clusters import monitors
from workflow.lib.clusters.linear_probes import fit_probe
from workflow.lib.clusters.monitors import has_classes, probe, slide_weights, watch


def side(shift, count=60, classes=2, seed=0):
    """Features that tell classes apart by `shift`, four slides of unequal size, one class each."""
    rng = np.random.default_rng(seed)
    slides = np.sort(rng.integers(0, 2 * classes, count))
    labels = slides % classes
    features = rng.normal(0, 1, (count, 5)) + shift * np.eye(5)[labels]
    return features.astype(np.float32), labels, slides


def test_classes_that_lie_apart_are_told_apart():
    assert probe(side(6), side(6, seed=1)) > 0.99
    assert probe(side(6, classes=3), side(6, classes=3, seed=1)) > 0.99


def test_without_a_difference_it_is_about_chance():
    found = [probe(side(0, seed=s), side(0, seed=s + 50)) for s in range(8)]
    assert 0.4 < np.mean(found) < 0.6


def test_the_score_is_that_of_scikit_learn_with_slides_counted_alike():
    fitted, (unseen, truth, slides) = side(1), side(1, seed=3)
    scores = fit_probe(*fitted, penalty=1.0).predict_proba(unseen)[:, 1]
    sizes = np.bincount(slides)
    expected = roc_auc_score(truth, scores, sample_weight=1 / sizes[slides])
    assert probe(fitted, (unseen, truth, slides)) == pytest.approx(expected)
    assert expected != pytest.approx(roc_auc_score(truth, scores))


def test_the_weights_of_a_slide_add_up_to_its_share():
    """Whatever ids are not among them."""
    weights = slide_weights(np.array([4, 1, 4, 4]))
    assert weights.tolist() == pytest.approx([1 / 6, 1 / 2, 1 / 6, 1 / 6])


@pytest.mark.parametrize(
    "labels, classes, enough",
    [([0, 1], 2, True), ([0, 0], 2, False), ([0, 0], 1, False), ([], 0, False), ([0, 1], 3, False)],
)
def test_a_probe_needs_all_of_two_classes(labels, classes, enough):
    assert has_classes(np.array(labels, int), classes) == enough


def bag(slides, labels):
    slides = torch.tensor(slides)
    return SimpleNamespace(slide=slides, label=torch.tensor(labels)[slides])


def test_watched_tiles_are_in_order_and_on_their_side():
    made = bag([0, 0, 1, 2, 2, 3], [0, 1, 0, 1])
    found = watch(made, np.array([2, 3, 4]), np.array([0, 1, 5]), classes=2, seed=0)
    assert found.rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.validation.tolist() == [True, True, False, False, False, True]
    assert found.labels.tolist() == [0, 0, 1, 0, 0, 1]
    assert found.slides.tolist() == [0, 0, 1, 2, 2, 3]
    assert "image labels of 2 validation slides" in found.sentence()
    features = np.array([[0], [0], [9], [1], [1], [8]], np.float32)
    assert found.probe(features) == 1.0 and found.probe(-features) == 1.0
    turned = np.where(found.validation[:, None], -features, features)
    assert found.probe(turned) == 0.0  # the scored side alone is turned round


def test_nothing_is_watched_where_a_class_is_missing():
    made = bag([0, 0, 1, 2, 2, 3], [0, 1, 0, 1])
    every, one = np.array([2, 3, 4]), np.array([0, 1])
    assert watch(made, every, one, classes=2, seed=0) is None
    assert watch(made, one, every, classes=2, seed=0) is None
    assert watch(made, every, one[:0], classes=2, seed=0) is None
    assert watch(made, every, every, classes=0, seed=0) is None


def test_of_many_tiles_some_are_watched(monkeypatch):
    monkeypatch.setattr(monitors, "TILES", 6)
    made = bag([0] * 30 + [1] * 30, [0, 1])
    rows = np.arange(60)
    found = watch(made, rows[::2], rows[1::2], classes=2, seed=0)
    assert len(found.rows) == 12 and found.validation.sum() == 6
    assert (np.diff(found.rows) > 0).all()
    assert (found.rows % 2 == found.validation).all()
    again = watch(made, rows[::2], rows[1::2], classes=2, seed=1)
    assert not np.array_equal(found.rows, again.rows)
