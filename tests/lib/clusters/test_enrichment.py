import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.naive_bayes import MultinomialNB

from workflow.lib.clusters.enrichment import (
    enrich,
    guess_sites,
    mean_recall,
    recall_patients,
    tabulate,
    with_several_patients,
)
from workflow.lib.measures.bootstrap import resample

# patient x cluster x name: patient 0 and patient 1
TABLE = np.array([[[6, 0], [1, 1]], [[2, 0], [1, 5]]])


def test_tiles_are_counted_by_patient_cluster_and_name():
    counts = np.array([[3, 1], [2, 0], [0, 4]])
    found = tabulate(counts, np.array([0, 0, 2]), np.array([1, 1, 0]), shape=(3, 2))
    assert found.shape == (3, 2, 2) and found.sum() == counts.sum()
    assert found[0, :, 1].tolist() == [5, 1] and found[2, :, 0].tolist() == [0, 4]


def test_sites_of_one_patient_are_left_out():
    sites = np.array(["x", "x", "y", "y", "z"])
    patients = np.array(["A", "B", "C", "C", "D"])
    assert with_several_patients(sites, patients).tolist() == [True, True, False, False, False]


def test_a_site_is_guessed_from_the_slides_of_other_patients():
    """Patient 0 is alone with cluster 0 in site 0: only its own slides would say so."""
    counts = np.array([[10, 0], [10, 0], [0, 10], [9, 1], [5, 5]])
    patients, sites = np.array([0, 0, 1, 2, 3]), np.array([0, 0, 0, 1, 1])
    found = guess_sites(counts, patients, sites)
    # For patient 0, site 0 is patient 1, (1, 11) / 12, and site 1 is in turn (6, 6) / 12, without
    # patient 2, and (10, 2) / 12, without 3: ten tiles of cluster 0 are of site 1 both times.
    # For patient 1, site 0 is (21, 1) / 22: ten tiles of cluster 1 are of site 1 both times.
    # For patient 2, site 1 is (6, 6) / 12, 10 log(1/2) = -6.93, and site 0 is without patient 0
    # (1, 11) / 12, 9 log(1/12) + log(11/12) = -22.45; without 1 (21, 1) / 22, 9 log(21/22) +
    # log(1/22) = -3.51: once right, once wrong.
    # For patient 3, site 1 is (10, 2) / 12, 5 log(20/144) = -9.87; site 0 5 log(11/144) = -12.9 or
    # 5 log(21/484) = -15.7.
    assert found.tolist() == [[0, 1], [0, 1], [0, 1], [0.5, 0.5], [0, 1]]


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_guesses_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(9), 2)
    sites = patients % 3
    counts = rng.integers(0, 30, (18, 5)) + 10 * np.eye(5, dtype=int)[sites]
    found = guess_sites(counts, patients, sites)
    for patient in range(9):
        own, site = patients == patient, patient % 3
        expected = np.zeros((2, 3))
        for turn in range(3):  # patients 3 turn, 3 turn + 1 and 3 turn + 2 are of the three sites
            left = [patient, *(3 * turn + other for other in range(3) if other != site)]
            rest = ~np.isin(patients, left)
            model = MultinomialNB(alpha=1, fit_prior=False).fit(counts[rest], sites[rest])
            expected += np.eye(3)[model.predict_joint_log_proba(counts[own]).argmax(1)] / 3
        np.testing.assert_allclose(found[own], expected, atol=1e-12)


@pytest.mark.parametrize("members", [2, 3, 6])
def test_sites_that_are_alike_are_told_by_chance_alone(members):
    """Patients differ, sites do not: leaving a patient out must not speak against its own site."""
    rng, sites = np.random.default_rng(0), np.repeat([0, 1], members)
    right = []
    for _ in range(400):
        counts = [rng.multinomial(60, share) for share in rng.dirichlet(np.ones(8), 2 * members)]
        found = guess_sites(np.array(counts), np.arange(2 * members), sites)
        right.append(found[np.arange(2 * members), sites].mean())
    assert np.mean(right) == pytest.approx(0.5, abs=4 * np.std(right) / 20)  # four standard errors


def test_a_patient_of_two_sites_is_left_out_of_both():
    counts = np.array([[5, 0], [0, 5], [5, 0], [0, 5]])
    patients, sites = np.array([0, 0, 1, 2]), np.array([0, 1, 0, 1])
    assert guess_sites(counts, patients, sites)[:2].tolist() == [[1, 0], [0, 1]]


def test_one_cluster_says_nothing_of_a_site():
    counts, patients = np.full((6, 1), 7), np.arange(6)
    found = guess_sites(counts, patients, patients % 3)
    assert np.allclose(found, 1 / 3)
    cells = np.zeros((3, 3))
    np.add.at(cells, patients % 3, found)
    assert mean_recall(cells) == pytest.approx(1 / 3)


def test_patients_are_given_away_by_clusters_of_their_own():
    """Slides of one cluster each: their halves are the same whatever is drawn."""
    counts = np.array([[4, 0], [0, 2], [0, 8]])
    # learnt: (2, 1) and (0, 4), as shares (3, 2) / 5 and (1, 5) / 6; tested: (2, 1) and (0, 4).
    found = recall_patients(counts, np.array([0, 0, 1]), seed=0)
    assert found.tolist() == [pytest.approx(2 / 3), 1]


def test_one_cluster_gives_no_patient_away():
    assert recall_patients(np.array([[3], [9], [1]]), np.arange(3), seed=0).tolist() == [1 / 3] * 3


def test_patients_alike_are_told_by_chance_alone():
    rng = np.random.default_rng(0)
    counts = rng.multinomial(4000, np.full(6, 1 / 6), size=5)
    found = np.mean([recall_patients(counts, np.arange(5), seed=seed).mean() for seed in range(40)])
    assert found == pytest.approx(1 / 5, abs=0.02)


def test_halves_are_those_of_the_seed():
    counts = np.random.default_rng(1).integers(1, 9, (6, 4))
    found = [recall_patients(counts, np.arange(6), seed=seed).tolist() for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]


def test_mean_recall_by_hand_and_without_a_row():
    cells = np.array([[[3, 1], [0, 2]], [[3, 1], [0, 0]]])
    found = mean_recall(cells)
    assert found[0] == pytest.approx((0.75 + 1) / 2) and np.isnan(found[1])


def test_enrichment_by_hand():
    rows = enrich(TABLE, replicates=50, seed=0)
    assert [(row.cluster, row.name) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [row.tiles for row in rows] == [8, 0, 2, 6]
    assert [row.patients for row in rows] == [2, 0, 2, 2]
    assert [row.share for row in rows] == [1, 0, 0.25, 0.75]
    assert [row.expected for row in rows] == [0.625, 0.375] * 2
    # each cluster has 8 tiles, of which 5 and 3 are expected
    ratios = (8.5 / 5.5, 0.5 / 3.5, 2.5 / 5.5, 6.5 / 3.5)
    assert [row.log2 for row in rows] == [pytest.approx(math.log2(ratio)) for ratio in ratios]


def test_intervals_are_over_patients():
    rng = np.random.default_rng(3)
    table = rng.integers(0, 9, (12, 2, 3))
    row = enrich(table, replicates=200, seed=5)[1]  # cluster 0, name 1
    values = []
    for weights in resample(12, replicates=200, seed=5):
        drawn = np.repeat(table, weights, axis=0).sum(0)
        expected = drawn[0].sum() * drawn[:, 1].sum() / drawn.sum()
        values.append(math.log2((drawn[0, 1] + 0.5) / (expected + 0.5)))
    assert row.interval == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))
    assert row.interval[0] < row.log2 < row.interval[1]


def test_one_patient_and_no_replicates_have_no_interval():
    one = enrich(TABLE[:1], replicates=100, seed=0)
    assert all(np.isnan(row.interval).all() for row in one)
    assert all(np.isnan(row.interval).all() for row in enrich(TABLE, replicates=0, seed=0))
    assert np.isfinite(enrich(TABLE, replicates=100, seed=0)[0].interval).all()


def test_a_cluster_without_tiles_has_no_share():
    table = np.zeros((3, 2, 2), int)
    table[:, 0] = [[1, 2], [3, 4], [5, 6]]
    empty = enrich(table, replicates=20, seed=0)[2]
    assert empty.tiles == empty.patients == 0
    assert np.isnan([empty.share, empty.log2, *empty.interval]).all()


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1))
def test_shares_add_up_and_log2_has_the_sign_of_the_difference(seed):
    table = np.random.default_rng(seed).integers(0, 5, (4, 3, 3)) + 1
    rows = enrich(table, replicates=0, seed=0)
    for cluster in range(3):
        own = [row for row in rows if row.cluster == cluster]
        assert sum(row.share for row in own) == pytest.approx(1)
        for row in own:
            assert np.sign(np.round(row.log2, 9)) == np.sign(np.round(row.share - row.expected, 9))
