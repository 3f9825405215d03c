"""Configs of variants, and differences of their metrics paired by seed."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from snakemake.utils import update_config

from tests.lib.ablated import compared, pooled, row, runs
from workflow.lib.jobs.configuration import merge
from workflow.lib.measures import ablation
from workflow.lib.measures.ablation import Target

ROOT = Path(__file__).resolve().parents[3]
PLAN = {
    "targets": [{"level": "tile", "metric": "auroc"}],
    "variants": {"baseline": {}, "other": {"make_cams": {"consistency": 0.5}}},
}


@pytest.fixture(scope="module")
def defaults():
    return yaml.safe_load((ROOT / "config/config.yaml").read_text())


@pytest.fixture(scope="module")
def schema():
    return yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())


SECTIONS = st.recursive(
    st.integers() | st.text(max_size=2) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from("abc"), SECTIONS, max_size=3), st.data())
@settings(max_examples=60, deadline=None)
def test_configs_merge_as_snakemake_merges_them(config, data):
    """For changes that keep sections sections, which the schema demands."""

    def change(value):
        if not isinstance(value, dict):
            return data.draw(st.integers() | st.lists(st.integers(), max_size=2))
        return {key: change(inner) for key, inner in value.items() if data.draw(st.booleans())}

    changes = change(config) | {"new": 1}
    before = copy.deepcopy((config, changes))
    expected = copy.deepcopy(config)
    update_config(expected, copy.deepcopy(changes))
    assert merge(config, changes) == expected
    assert (config, changes) == before


def test_a_setting_of_the_study_is_looked_up(defaults):
    study = merge(defaults, {"train_classifier": {"backbone": "squeezenet1_1"}})
    plan = PLAN | {
        "common": {"train_deepcluster": {"backbone": {"study": "train_classifier.backbone"}}}
    }
    plan["variants"] = {"baseline": None, "o": {"train_classifier": {"backbone": "resnet50"}}}
    configs = ablation.variant_configs(study, plan, [0])
    found = [config["train_deepcluster"]["backbone"] for config in configs.values()]
    assert found == ["squeezenet1_1", "squeezenet1_1"]  # of the study, not of the variant
    assert configs["o", 0]["train_classifier"]["backbone"] == "resnet50"
    plan["common"] = {"train_deepcluster": {"backbone": {"study": "train_classifier.spine"}}}
    with pytest.raises(ValueError, match="no setting train_classifier.spine"):
        ablation.variant_configs(study, plan, [0])


def test_a_word_of_the_study_is_replaced():
    asked = {"study": "a.b", "instead_of": {"deepcluster": {"study": "c"}, "x": 3}}
    found = [
        ablation.resolve(asked, {"a": {"b": b}, "c": "imagenet"}) for b in ("deepcluster", "x")
    ]
    assert found == ["imagenet", 3]
    for other in ("random", 7, ["x"], None):
        assert ablation.resolve(asked, {"a": {"b": other}, "c": "imagenet"}) == other
    section = {"study": "a", "instead": {}}
    assert ablation.resolve(section, {"a": 1}) == section  # the schema will refuse it


def test_variants_are_left_out_by_name():
    plan = PLAN | {"variants": {"base": {}, 3: {"seed": 1}, "other": {}}}
    assert ablation.without(plan, ["3"]) == PLAN | {"variants": {"base": {}, "other": {}}}
    assert ablation.without(plan, []) == plan and ablation.without(["no plan"], []) == ["no plan"]
    with pytest.raises(ValueError, match="no variant is called more; base, 3, other are"):
        ablation.without(plan, ["more", "other"])


def test_every_run_is_a_study_of_its_own_and_differs_by_its_variant_only(defaults, schema):
    before = copy.deepcopy(defaults)
    configs = ablation.variant_configs(defaults, PLAN, [3, 4])
    assert list(configs) == [("baseline", 3), ("other", 3), ("baseline", 4), ("other", 4)]
    assert defaults == before
    expected = copy.deepcopy(defaults) | {"study": "demo-other-seed4", "seed": 4}
    expected["make_cams"]["consistency"] = 0.5
    assert configs["other", 4] == expected
    assert ablation.config_faults(configs, schema) == []


@pytest.mark.parametrize(
    "variant, said",
    [
        (
            {"make_cam": {"consistency": 1}},
            "other: unknown key 'make_cam'; did you mean make_cams?",
        ),
        ({"make_cams": {"consistency": 2}}, "other: make_cams.consistency: 2 is above 1"),
        ({"tile_slide": {"stride_px": 999}}, "other: tile_slide.stride_px: 999 leaves gaps"),
        ({}, "other: has the settings of baseline in this study"),
        ({"make_cams": {"consistency": 0}}, "other: has the settings of baseline in this study"),
    ],
)
def test_a_variant_that_cannot_run_is_named_once(defaults, schema, variant, said):
    plan = PLAN | {"variants": {"baseline": {}, "other": variant}}
    faults = ablation.config_faults(ablation.variant_configs(defaults, plan, [0, 1]), schema)
    assert len(faults) == 1 and faults[0].startswith(said), faults


@pytest.mark.parametrize(
    "plan, said",
    [
        ([], "no targets"),
        (PLAN | {"variant": {}}, "unknown key 'variant'"),
        (PLAN | {"targets": []}, "targets: name at least one"),
        (PLAN | {"targets": [{"metric": "auroc"}]}, "targets.0: "),
        (PLAN | {"targets": [{"level": "tile", "metric": "auroc", "fold": "0"}]}, "targets.0: "),
        (PLAN | {"targets": [{"level": "tile", "metric": 3}]}, "targets.0: level, metric"),
        (PLAN | {"variants": {"baseline": {}}}, "variants: name a baseline and at least one"),
        (PLAN | {"variants": {"a": {}, "b": "deepcluster"}}, "variants.b: 'deepcluster' is not"),
        (PLAN | {"variants": {"a": {}, "b": {"seed": 3}}}, "variants.b.seed: every run gets"),
        (PLAN | {"common": {"study": "x"}}, "common.study: every run gets"),
    ],
)
def test_a_plan_is_refused_in_words(plan, said):
    faults = ablation.plan_faults(plan)
    assert len(faults) == 1 and said in faults[0], faults


def test_t_interval_of_three_values():
    low, high = ablation.t_interval([1.0, 2.0, 3.0])  # sd 1, t(0.975; 2) = 4.3027
    assert (low, high) == pytest.approx((2 - 4.302653 / math.sqrt(3), 2 + 4.302653 / math.sqrt(3)))
    assert all(map(math.isnan, ablation.t_interval([1.0])))


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=9).filter(lambda v: np.std(v) > 1e-3))
@settings(max_examples=30, deadline=None)
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
