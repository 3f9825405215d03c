import numpy as np
import pytest

from workflow.lib.measures.bootstrap import interval, measure, resample, sum_by


def test_every_replicate_draws_as_many_patients_as_there_are():
    draws = resample(7, replicates=200, seed=1)
    assert draws.shape == (200, 7)
    assert (draws.sum(1) == 7).all()
    assert draws.min() == 0 and draws.max() > 1  # with replacement


def test_same_seed_same_draws():
    first, again, other = (resample(9, replicates=50, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_interval_covers_the_mean_of_a_known_population():
    """95 of 100 intervals should hold the true mean; such intervals fall slightly short."""
    rng = np.random.default_rng(0)
    held = 0
    for study in range(200):
        values = rng.normal(5, 2, size=40)
        means = resample(40, replicates=300, seed=study) @ values / 40
        low, high = interval(means, values.mean(), patients=40)
        held += low <= 5 <= high
    assert 0.88 <= held / 200 <= 0.99


def test_interval_is_the_percentiles():
    assert interval(np.arange(1001.0), 500, patients=10) == pytest.approx((25, 975))
    assert interval(np.arange(1001.0), 30, patients=10) == pytest.approx((25, 975))


@pytest.mark.parametrize(
    ("replicates", "value", "patients"),
    [
        (np.full(100, 0.7), 0.7, 1),  # one patient: every resample is the same
        (np.full(100, np.nan), 0.7, 5),  # undefined in all
        (np.r_[np.full(50, 0.7), np.full(50, np.nan)], 0.7, 5),  # undefined in half
        (np.full(100, 0.7), np.nan, 5),
        (np.linspace(0.5, 0.6, 100), 0.501, 5),  # an interval that leaves its own value out
        (np.zeros(0), 0.7, 5),
        (np.zeros(0), np.nan, 0),
    ],
)
def test_no_interval_where_it_would_mean_nothing(replicates, value, patients):
    assert np.isnan(interval(replicates, value, patients=patients)).all()


def test_undefined_replicates_are_left_out_and_a_perfect_score_stays_perfect():
    values = np.r_[np.full(90, 1.0), np.full(10, np.nan)]
    assert interval(values, 1.0, patients=5) == (1.0, 1.0)


def test_measure_gives_the_value_of_all_and_an_interval_over_patients():
    sums = np.array([[8, 10], [1, 10], [9, 10], [2, 10], [5, 10]])  # right and all, by patient

    def metrics(weights):
        right, total = (weights @ sums).T
        return {"accuracy": right / total, "undefined": np.full(len(weights), np.nan)}

    found = measure(metrics, patients=5, replicates=400, seed=0)
    value, (low, high) = found["accuracy"]
    assert value == 0.5 and 0.1 <= low < 0.4 and 0.6 < high <= 0.9
    assert np.isnan(found["undefined"][0]) and np.isnan(found["undefined"][1]).all()
    assert measure(metrics, patients=5, replicates=400, seed=0)["accuracy"] == found["accuracy"]


def test_no_patients_give_no_draws():
    assert resample(0, replicates=10, seed=0).shape == (10, 0)


def test_sum_by_sums_rows_of_a_group_in_sorted_order():
    total = sum_by(np.array(["b", "a", "b"]), np.array([[1, 2], [3, 4], [5, 6]]))
    assert total.tolist() == [[3, 4], [6, 8]]
    assert sum_by(np.array([], str), np.zeros((0, 2), int)).shape == (0, 2)
