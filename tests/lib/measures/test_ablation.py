"""Differences of the metrics of variants, paired by seed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.lib.ablated import compared, pooled, row, runs
from workflow.lib.measures import ablation
from workflow.lib.measures.ablation import Target


def test_t_interval_of_three_values():
    low, high = ablation.t_interval([1.0, 2.0, 3.0])  # sd 1, t(0.975; 2) = 4.3027
    assert (low, high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))
    assert all(map(math.isnan, ablation.t_interval([1.0])))


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9).filter(lambda v: np.std(v) > 1e-3))
@settings(max_examples=30)
def test_t_interval_is_that_of_scipy(values):
    expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))
    assert ablation.t_interval(values) == pytest.approx(expected, abs=1e-9)


def test_differences_are_paired_by_seed():
    rows = compared(runs(base=[0.2, 0.5, 0.8], other=[0.3, 0.6, 0.9]))
    seeds = [row for row in rows if row["seed"] == 1]
    assert [row["value"] for row in seeds] == [0.5, 0.6]
    assert [row["difference"] for row in seeds] == [None, pytest.approx(0.1)]
    assert (seeds[1]["low"], seeds[1]["high"], seeds[1]["seeds"]) == (0.25, 0.75, 1)
    found = pooled(rows)
    assert found["value"] == pytest.approx(0.6) and found["difference"] == pytest.approx(0.1)
    assert found["low"] < 0 and found["high"] > 1  # seeds differ widely ...
    assert found["difference_low"] == pytest.approx(0.1)  # ... and the variants never
    assert (found["seeds"], found["pairs"], found["n"]) == (3, 3, 9)
    assert pooled(rows, "base")["difference"] is None and pooled(rows, "base")["pairs"] == 0


def test_seeds_without_a_pair_do_not_count_in_the_difference():
    rows = compared(runs(base=[0.2, None, ""], other=[0.4, 0.5, 0.6]))
    found = pooled(rows)
    assert (found["seeds"], found["pairs"]) == (3, 1)
    assert found["difference"] == pytest.approx(0.2) and math.isnan(found["difference_low"])
    missing = next(row for row in rows if (row["variant"], row["seed"]) == ("base", 1))
    assert (missing["value"], missing["seeds"]) == (None, 0)
    assert pooled(rows, "base")["value"] == pytest.approx(0.2)


def test_only_test_rows_over_all_folds_of_the_target_count():
    table = [
        row(0.1, fold="0"),
        row(0.2, level="image"),
        row(0.3, metric="accuracy"),
        row(0.4, method="kmeans"),
        row(0.5, split="val"),
        row(0.6, method="classifier (mean)"),
    ]
    rows = compared({("base", 0): table}, Target("tile", "auroc", "classifier"), seeds=[0])
    assert [row["value"] for row in rows if row["variant"] == "base"] == [0.6, 0.6]


def test_methods_of_a_prefix_are_paired_by_name_and_a_single_one_whatever_its_name():
    probes = [row(0.5, "probe random layer1"), row(0.7, "probe random layer2")]
    better = [row(0.6, "probe random layer1"), row(0.9, "probe random layer2")]
    finished = {("base", 0): probes, ("other", 0): better}
    rows = compared(finished, Target("tile", "auroc", "probe random"), seeds=[0])
    found = {r["method"]: r["difference"] for r in rows if r["seed"] == 0 and r["difference"]}
    assert found == {
        "probe random layer1": pytest.approx(0.1),
        "probe random layer2": pytest.approx(0.2),
    }
    named = {("base", 0): [row(0.3, "deepcluster", "nmi")], ("other", 0): [row(0.4, "dcec", "nmi")]}
    rows = compared(named, Target("tile", "nmi"), seeds=[0])
    assert len(rows) == 4 and pooled(rows)["difference"] == pytest.approx(0.1)
    assert pooled(rows)["method"] == "dcec" and pooled(rows, "base")["method"] == "deepcluster"


def test_masks_behind_a_number_are_told():
    table = {
        ("base", seed): [row(0.5, pixel_masks_used=str(seed), n=str(9 - seed))] for seed in range(3)
    }
    found = pooled(compared(table), "base")
    assert (found["pixel_masks_used"], found["n"]) == (2, 7)
