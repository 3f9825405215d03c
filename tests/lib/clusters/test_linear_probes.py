from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.clusters.linear_probes import (
    auroc,
    draw_tiles,
    fit_probe,
    pool_slides,
)
from workflow.lib.measures.label_metrics import balanced_weights
from workflow.lib.tiles.bags import TileBag, tile_weights


def test_every_slide_deals_its_tiles_in_turn():
    slides = np.array([7] * 90 + [2] * 3)
    drawn = draw_tiles(slides, 8, seed=0)
    assert (np.diff(drawn) > 0).all() and len(drawn) == 8
    assert (slides[drawn] == 2).sum() == 3  # all that it has; the large one fills up
    assert draw_tiles(slides, 8, seed=0).tolist() == drawn.tolist()
    assert draw_tiles(slides, 8, seed=1).tolist() != drawn.tolist()
    assert draw_tiles(slides, 1000, seed=0).tolist() == list(range(93))
    assert draw_tiles(np.zeros(0, int), 5, seed=0).size == 0


def test_classes_and_slides_weigh_alike():
    found = balanced_weights(np.array([0, 0, 1, 2]), np.array([0, 0, 0, 1]))
    assert found.tolist() == [0.5, 0.5, 1, 2]


@settings(max_examples=20)
@given(counts=st.lists(st.integers(1, 6), min_size=3, max_size=7))
def test_weights_are_those_that_a_classifier_is_validated_with(counts):
    stores = [SimpleNamespace(bad=np.zeros(count, bool)) for count in counts]
    bag = TileBag([str(n) for n in range(len(counts))], stores, [n % 2 for n in range(len(counts))])
    found = balanced_weights(bag.slide.numpy(), bag.label.numpy())
    assert np.allclose(found, tile_weights(bag).numpy() * len(bag))
    assert found.mean() == pytest.approx(1)


def made_up(seed, size=60, classes=2):
    rng = np.random.default_rng(seed)
    slides = np.sort(rng.integers(0, 6, size))
    labels = slides % classes
    features = rng.normal(size=(size, 4)) + labels[:, None] * [1, 0.5, 0, 0]
    return features * [1, 100, 0.01, 1] + 5, labels, slides


def test_a_probe_stands_where_its_objective_is_flat():
    """Gradient of the weighted cross entropy + penalty / 2 |w|^2, on standardised features."""
    features, labels, slides = made_up(0)
    model = fit_probe(features, labels, slides, penalty=3.0)
    scaler, logistic = model[0], model[1]
    points = (features - features.mean(0)) / features.std(0)
    assert np.allclose(scaler.transform(features), points)
    w, b = logistic.coef_[0], logistic.intercept_[0]
    residual = balanced_weights(slides, labels) * (
        1 / (1 + np.exp(-(points @ w + b))) - (labels == 1)
    )
    assert np.allclose(residual @ points + 3.0 * w, 0, atol=2e-2)
    assert residual.sum() == pytest.approx(0, abs=2e-2)
    assert np.linalg.norm(w) > 0.3


def test_a_larger_penalty_gives_smaller_coefficients():
    features, labels, slides = made_up(0)
    sizes = [
        np.linalg.norm(fit_probe(features, labels, slides, penalty=penalty)[1].coef_)
        for penalty in (0.01, 1, 100)
    ]
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_units_of_features_do_not_matter_and_constants_do_no_harm():
    features, labels, slides = made_up(1)
    first = fit_probe(features, labels, slides, penalty=1).predict_proba(features)
    scaled = np.c_[features * [10, 0.1, 3, 1] - 4, np.full(len(features), 7.0)]
    second = fit_probe(scaled, labels, slides, penalty=1).predict_proba(scaled)
    assert np.allclose(first, second, atol=1e-4)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="two classes"):
        fit_probe(np.ones((3, 2)), np.zeros(3, int), np.zeros(3, int), penalty=1)


def test_slides_without_tiles_are_not_pooled():
    scores = np.array([[0.2, 0.8], [0.4, 0.6], [1, 0]])
    pooled, present = pool_slides(scores, np.array([0, 0, 2]), count=4)
    assert present.tolist() == [0, 2]
    assert np.allclose(pooled, [[0.3, 0.7], [1, 0]])
    nothing, none = pool_slides(np.zeros((0, 2)), np.zeros(0, int), count=2)
    assert nothing.shape == (0, 2) and none.size == 0


def test_auroc_of_one_class_is_not_defined():
    scores = np.array([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]])
    assert auroc(scores, np.array([1, 0, 0])) == 1
    assert np.isnan(auroc(scores, np.ones(3, int)))
