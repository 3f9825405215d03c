from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from workflow.lib.bags import TileBag, tile_weights
from workflow.lib.label_tables import Scored, metric_rows
from workflow.lib.linear_probes import (
    Probe,
    auroc,
    balanced_weights,
    draw_tiles,
    fit_probe,
    pool_slides,
    probe_rows,
)


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


@settings(max_examples=20, deadline=None)
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


# Four slides of two tiles, two patients a class; the probability of the second class of each tile.
SLIDES, LABELS = np.repeat(np.arange(4), 2), np.array([0, 1, 0, 1])
PATIENTS = ["A", "B", "C", "D"]
TRAINED = [0.1, 0.2, 0.8, 0.9, 0.3, 0.2, 0.7, 0.6]
START = [0.1, 0.2, 0.8, 0.15, 0.3, 0.75, 0.7, 0.6]
CONSTANT = [0.5] * 8
UPSIDE_DOWN = [1 - value for value in TRAINED]


def table(**columns):
    """Rows of the named probes, `network_layer` or `random0_layer`, by (level, method, metric)."""
    scores = {}
    for name, values in columns.items():
        network, layer = name.split("_")
        seed = int(network[-1]) if network[-1].isdigit() else None
        scores[Probe(network.rstrip("0123456789"), seed, layer, 3)] = np.stack(
            [1 - np.array(values), values], axis=1
        )
    rows = probe_rows(
        scores,
        SLIDES,
        labels=LABELS,
        patients=PATIENTS,
        clustering="dcec",
        positive=1,
        replicates=300,
        seed=0,
    )
    return {(row["level"], row["method"], row["metric"]): row for row in rows}


def test_rows_by_hand():
    rows = table(
        trained_a=CONSTANT,
        trained_b=TRAINED,
        start_a=CONSTANT,
        start_b=START,
        random0_a=TRAINED,
        random0_b=CONSTANT,
        random1_a=CONSTANT,
        random1_b=UPSIDE_DOWN,
    )
    found = {key: row["value"] for key, row in rows.items()}
    assert found["tile", "probe dcec b", "auroc"] == 1
    assert found["tile", "probe dcec a", "auroc"] == 0.5
    # START: positives .8 .15 .7 .6, negatives .1 .2 .3 .75: .8 beats 4, .15 one, .7 and .6 three
    expected = (4 + 1 + 3 + 3) / 16
    assert found["tile", "probe start b", "auroc"] == pytest.approx(expected)
    labels = LABELS[SLIDES]
    assert expected == pytest.approx(roc_auc_score(labels, START))
    # slides of START: positives .475 .65, negatives .15 .525
    assert found["image", "probe start b", "auroc"] == pytest.approx(3 / 4)
    assert found["tile", "probe random b", "auroc"] == 0.25  # the mean of 0.5 and 0
    assert found["tile", "probe random b", "auroc_min"] == 0
    assert found["tile", "probe random b", "auroc_max"] == 0.5
    assert found["tile", "probe random a", "auroc_max"] == 1
    gains = {key: value for key, value in found.items() if key[2] == "auroc_gain"}
    assert gains == {
        ("tile", "probe dcec over start b", "auroc_gain"): pytest.approx(1 - expected),
        ("image", "probe dcec over start b", "auroc_gain"): 0.25,
        ("tile", "probe dcec over random b", "auroc_gain"): 0.75,
        ("image", "probe dcec over random b", "auroc_gain"): 0.75,
    }
    assert {(row["n"], row["fold"], row["pixel_masks_used"]) for row in rows.values()} == {
        (4, "all", 0)
    }


def test_without_start_and_random_networks_nothing_is_gained():
    assert {key[2] for key in table(trained_b=TRAINED)} == {"auroc"}


def test_a_gain_is_taken_on_the_same_patients():
    """A network against itself differs by nothing in every replicate."""
    rows = table(trained_b=START, start_b=START)
    gain = rows["tile", "probe dcec over start b", "auroc_gain"]
    assert (gain["value"], gain["ci_low"], gain["ci_high"]) == (0, 0, 0)
    single = rows["tile", "probe start b", "auroc"]
    assert single["ci_low"] < single["value"] < single["ci_high"]


def many(seed, classes):
    rng = np.random.default_rng(seed)
    labels = np.arange(12) % classes
    slides = np.repeat(np.arange(12), rng.integers(1, 5, 12))
    scores = rng.dirichlet(np.ones(classes), len(slides))
    scores += 0.2 * np.eye(classes)[labels[slides]]
    return scores / scores.sum(1, keepdims=True), labels, slides


@pytest.mark.parametrize("classes", [2, 3])
def test_values_and_intervals_are_those_of_the_classifier(classes):
    scores, labels, slides = many(2, classes)
    names = [f"p{number // 2}" for number in range(12)]
    found = probe_rows(
        {Probe("trained", None, "b", 3): scores},
        slides,
        labels=labels,
        patients=names,
        clustering="dcec",
        positive=1 if classes == 2 else None,
        replicates=100,
        seed=4,
    )
    tile = next(row for row in found if row["level"] == "tile")
    scored = [
        Scored(str(n), names[n], "0", labels[n], scores[slides == n].argmax(1), scores[slides == n])
        for n in range(12)
    ]
    rows = metric_rows(
        scored,
        level="tile",
        method="x",
        classes=["a", "b", "c"][:classes],
        negative="a",
        replicates=100,
        seed=4,
    )
    expected = next(row for row in rows if (row["fold"], row["metric"]) == ("all", "auroc"))
    assert [tile[key] for key in ("value", "ci_low", "ci_high", "n")] == [
        pytest.approx(expected[key]) for key in ("value", "ci_low", "ci_high", "n")
    ]


def test_slides_without_tiles_do_not_count_and_one_class_is_not_defined():
    rows = list(
        probe_rows(
            {Probe("trained", None, "b", 3): np.array([[0.5, 0.5], [0.2, 0.8]])},
            np.array([1, 3]),
            labels=LABELS,
            patients=PATIENTS,
            clustering="dcec",
            positive=1,
            replicates=10,
            seed=0,
        )
    )
    assert [row["n"] for row in rows] == [2, 2]
    assert all(np.isnan([row["value"], row["ci_low"]]).all() for row in rows)
