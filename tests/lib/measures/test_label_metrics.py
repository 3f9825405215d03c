import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from workflow.lib.measures.bootstrap import resample
from workflow.lib.measures.label_metrics import (
    agreement,
    clusters_against_labels,
    confusion,
    curves,
    macro_ranking,
    ranking,
)

ONE = np.ones((1, 400), int)


def made_up(seed, size=400, digits=8):
    rng = np.random.default_rng(seed)
    truth = rng.random(size) < 0.4
    return np.round(rng.normal(truth * 0.8, 1), digits), truth


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), digits=st.integers(0, 6))
def test_ranking_agrees_with_scikit_learn_also_with_ties_and_weights(seed, digits):
    scores, truth = made_up(seed, 60, digits)
    truth[:2] = True, False
    weights = np.random.default_rng(seed).integers(0, 4, size=(3, 60))
    weights[:, :2] = 1
    auroc, precision = ranking(scores, truth, weights)
    for row, weight in enumerate(weights):
        given_weight = {"sample_weight": weight}
        assert auroc[row] == pytest.approx(metrics.roc_auc_score(truth, scores, **given_weight))
        expected = metrics.average_precision_score(truth, scores, **given_weight)
        assert precision[row] == pytest.approx(expected)


def test_weights_of_patients_are_weights_of_their_tiles():
    scores, truth = made_up(1)
    patients = np.arange(400) % 11
    draws = resample(11, replicates=20, seed=0)
    by_patient = ranking(scores, truth, draws, patients)
    by_tile = ranking(scores, truth, draws[:, patients])
    assert np.array_equal(by_patient, by_tile)


def test_a_weight_of_two_is_the_tile_twice():
    scores, truth = made_up(2, 50)
    doubled = ranking(scores, truth, np.full((1, 50), 2))
    repeated = ranking(np.tile(scores, 2), np.tile(truth, 2), np.ones((1, 100)))
    assert np.allclose(doubled, repeated)


def test_rounding_lifts_no_perfect_ranking_above_one():
    rng = np.random.default_rng(0)
    truth = np.arange(60) < 24
    weights = 1 / rng.integers(1, 60, size=(500, 60))  # as slides with so many tiles have
    auroc, precision = ranking(truth.astype(float), truth, weights)
    assert auroc == pytest.approx(1) and precision == pytest.approx(1)
    assert auroc.max() <= 1 and precision.max() <= 1


def test_blocks_do_not_change_the_numbers(monkeypatch):
    scores, truth = made_up(3)
    weights = resample(400, replicates=30, seed=1)
    whole = ranking(scores, truth, weights)
    monkeypatch.setattr("workflow.lib.measures.label_metrics.BLOCK", 1000)
    assert np.array_equal(whole, ranking(scores, truth, weights))


@pytest.mark.parametrize("truth", [np.zeros(400, bool), np.ones(400, bool)])
def test_one_class_alone_has_no_auroc(truth):
    auroc, precision = ranking(made_up(4)[0], truth, ONE)
    assert np.isnan(auroc).all() and np.isnan(precision).all()


def test_no_items_have_no_auroc():
    auroc, precision = ranking(np.zeros(0), np.zeros(0, bool), np.ones((2, 0)))
    assert np.isnan(auroc).all() and auroc.shape == precision.shape == (2,)


def test_labels_dealt_at_random_give_an_auroc_of_one_half():
    rng = np.random.default_rng(0)
    found = [
        ranking(rng.random(400), rng.permutation(np.arange(400) % 2 == 0), ONE)[0][0]
        for _ in range(50)
    ]
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)


def test_a_score_that_is_nan_is_named():
    with pytest.raises(ValueError, match="score 1 "):
        ranking(np.array([0.1, np.nan]), np.array([True, False]), np.ones((1, 2)))


def test_two_classes_are_scored_by_the_positive_one():
    scores, truth = made_up(5)
    table = np.stack([-scores, scores], axis=1)
    assert macro_ranking(table, truth.astype(int), ONE) == ranking(scores, truth, ONE)
    first = macro_ranking(table[:, ::-1], 1 - truth, ONE, positive=0)
    assert first == ranking(scores, truth, ONE)


def test_more_classes_are_scored_one_against_the_rest():
    rng = np.random.default_rng(6)
    truth = rng.integers(0, 3, 400)
    scores = rng.random((400, 3)) + np.eye(3)[truth]
    scores /= scores.sum(1, keepdims=True)
    auroc, precision = macro_ranking(scores, truth, ONE)
    assert auroc[0] == pytest.approx(metrics.roc_auc_score(truth, scores, multi_class="ovr"))
    assert precision[0] == pytest.approx(
        metrics.average_precision_score(np.eye(3)[truth], scores, average="macro")
    )


def test_a_class_that_is_absent_leaves_the_macro_mean_undefined():
    scores = np.random.default_rng(0).random((400, 3))
    auroc, _ = macro_ranking(scores, np.arange(400) % 2, ONE)
    assert np.isnan(auroc).all()


def test_agreement_agrees_with_scikit_learn():
    rng = np.random.default_rng(7)
    truth, predicted = rng.integers(0, 3, (2, 200))
    groups = np.arange(200) % 7
    tables = confusion(truth, predicted, groups, classes=3)
    for group in range(7):
        own = groups == group
        expected = metrics.confusion_matrix(truth[own], predicted[own], labels=range(3))
        assert np.array_equal(tables[group], expected)
    cells = tables.sum(0)
    found = agreement(cells)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["balanced_accuracy"] == pytest.approx(
        metrics.balanced_accuracy_score(truth, predicted)
    )


def test_no_items_fill_no_tables():
    nothing = np.zeros(0, int)
    assert confusion(nothing, nothing, nothing, classes=2).shape == (0, 2, 2)


def test_agreement_skips_absent_classes_and_is_undefined_without_items():
    only_first = agreement(np.array([[3, 1], [0, 0]]))
    assert only_first["accuracy"] == only_first["balanced_accuracy"] == 0.75
    nothing = agreement(np.zeros((2, 2), int))
    assert np.isnan(nothing["accuracy"]) and np.isnan(nothing["balanced_accuracy"])


def test_curves_agree_with_scikit_learn():
    scores, truth = made_up(8, 200, digits=1)
    points = curves(scores, truth)
    fpr, tpr, thresholds = metrics.roc_curve(truth, scores, drop_intermediate=False)
    assert np.allclose(points["threshold"], thresholds[1:])
    assert np.allclose(points["false_positive_rate"], fpr[1:])
    assert np.allclose(points["recall"], tpr[1:])
    precision = metrics.precision_recall_curve(truth, scores)[0]
    assert np.allclose(points["precision"], precision[:-1][::-1])
    assert all(len(column) == 0 for column in curves(np.zeros(0), np.zeros(0, bool)).values())


@settings(max_examples=50)
@given(
    counts=st.lists(
        st.lists(st.integers(0, 9), min_size=3, max_size=3), min_size=1, max_size=5
    ).filter(lambda rows: sum(any(column) for column in zip(*rows, strict=True)) > 1)
)
def test_cluster_agreement_agrees_with_scikit_learn(counts):
    table = np.array(counts)
    cluster, label = (np.repeat(axis.ravel(), table.ravel()) for axis in np.indices(table.shape))
    found = clusters_against_labels(table)
    assert found["nmi"] == pytest.approx(
        metrics.normalized_mutual_info_score(label, cluster), abs=1e-9
    )
    assert found["ari"] == pytest.approx(metrics.adjusted_rand_score(label, cluster), abs=1e-9)


def test_purity_by_hand():
    found = clusters_against_labels(np.array([[8, 2], [1, 4]]))
    assert found["purity"] == pytest.approx(12 / 15)
    assert found["chance_purity"] == pytest.approx(9 / 15)


def test_one_label_alone_is_nothing_to_agree_with():
    found = clusters_against_labels(np.array([[8, 0], [5, 0]]))
    assert np.isnan(found["nmi"]) and np.isnan(found["ari"])
    assert found["purity"] == found["chance_purity"] == 1


def test_clusters_without_tiles_agree_with_nothing():
    found = clusters_against_labels(np.zeros((2, 4, 3)))
    assert all(np.isnan(value).all() and value.shape == (2,) for value in found.values())
