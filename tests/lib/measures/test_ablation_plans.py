"""Plans of ablations: what is refused, the configs of their runs, and that ours fit the studies."""

import pytest
import yaml

from tests import configs
from tests.configs import ROOT
from workflow.lib.jobs.configuration import merge
from workflow.lib.measures import ablation_plans

PLAN = {
    "targets": [{"level": "tile", "metric": "auroc"}],
    "variants": {"baseline": {}, "other": {"make_cams": {"consistency": 0.5}}},
}


def test_a_setting_of_the_study_is_looked_up():
    study = merge(configs.defaults(), {"train_classifier": {"backbone": "squeezenet1_1"}})
    plan = PLAN | {
        "common": {"train_deepcluster": {"backbone": {"study": "train_classifier.backbone"}}}
    }
    plan["variants"] = {"baseline": None, "o": {"train_classifier": {"backbone": "resnet50"}}}
    made = ablation_plans.variant_configs(study, plan, [0])
    found = [config["train_deepcluster"]["backbone"] for config in made.values()]
    assert found == ["squeezenet1_1", "squeezenet1_1"]  # of the study, not of the variant
    assert made["o", 0]["train_classifier"]["backbone"] == "resnet50"
    plan["common"] = {"train_deepcluster": {"backbone": {"study": "train_classifier.spine"}}}
    with pytest.raises(ValueError, match="no setting train_classifier.spine"):
        ablation_plans.variant_configs(study, plan, [0])


def test_a_word_of_the_study_is_replaced():
    asked = {"study": "a.b", "instead_of": {"deepcluster": {"study": "c"}, "x": 3}}
    found = [
        ablation_plans.resolve(asked, {"a": {"b": b}, "c": "imagenet"})
        for b in ("deepcluster", "x")
    ]
    assert found == ["imagenet", 3]
    for other in ("random", 7, ["x"], None):
        assert ablation_plans.resolve(asked, {"a": {"b": other}, "c": "imagenet"}) == other
    section = {"study": "a", "instead": {}}
    assert ablation_plans.resolve(section, {"a": 1}) == section  # the schema will refuse it


def test_variants_are_left_out_by_name():
    plan = PLAN | {"variants": {"base": {}, 3: {"seed": 1}, "other": {}}}
    assert ablation_plans.without(plan, ["3"]) == PLAN | {"variants": {"base": {}, "other": {}}}
    assert ablation_plans.without(plan, []) == plan
    assert ablation_plans.without(["no plan"], []) == ["no plan"]
    with pytest.raises(ValueError, match="no variant is called more; base, 3, other are"):
        ablation_plans.without(plan, ["more", "other"])


def test_every_run_is_a_study_of_its_own_and_differs_by_its_variant_only():
    study = configs.defaults()
    made = ablation_plans.variant_configs(study, PLAN, [3, 4])
    assert list(made) == [("baseline", 3), ("other", 3), ("baseline", 4), ("other", 4)]
    assert study == configs.defaults()
    expected = configs.defaults() | {"study": "demo-other-seed4", "seed": 4}
    expected["make_cams"]["consistency"] = 0.5
    assert made["other", 4] == expected
    assert ablation_plans.config_faults(made, configs.schema()) == []


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
def test_a_variant_that_cannot_run_is_named_once(variant, said):
    plan = PLAN | {"variants": {"baseline": {}, "other": variant}}
    made = ablation_plans.variant_configs(configs.defaults(), plan, [0, 1])
    faults = ablation_plans.config_faults(made, configs.schema())
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
    faults = ablation_plans.plan_faults(plan)
    assert len(faults) == 1 and said in faults[0], faults


@pytest.mark.parametrize("plan", sorted((ROOT / "config/ablations").glob("*.yaml")), ids=str)
@pytest.mark.parametrize("study", ["config", "glas", "camelyon16-patches"])
def test_plans_that_come_along_fit_the_studies(plan, study):
    config = configs.merged(study) | {"weights": "folder"}
    plan = yaml.safe_load(plan.read_text())
    assert ablation_plans.plan_faults(plan) == []
    assert ablation_plans.read_targets(plan)
    if "random" in plan["variants"] and config["train_deepcluster"]["checkpoint"] == "random":
        faults = ablation_plans.config_faults(
            ablation_plans.variant_configs(config, plan, [0]), configs.schema()
        )
        assert [fault.split(";")[0] for fault in faults] == [
            "random: has the settings of start in this study"
        ]
        plan = ablation_plans.without(plan, ["random"])
    made = ablation_plans.variant_configs(config, plan, [0])
    assert ablation_plans.config_faults(made, configs.schema()) == []


@pytest.fixture
def user():
    """A study that makes every use of its clusters."""
    return merge(configs.defaults(), {
        "cluster": {"method": "deepcluster"},
        "train_deepcluster": {"backbone": "squeezenet1_1", "checkpoint": "imagenet"},
        "train_classifier": {
            "backbone": "squeezenet1_1", "checkpoint": "deepcluster", "balance": "clusters",
        },
        "make_cams": {"consistency": 0.3},
    })  # fmt: skip


def uses(config):
    classifier = config["train_classifier"]
    return classifier["checkpoint"], classifier["balance"], config["make_cams"]["consistency"]


def test_the_baseline_of_a_study_that_uses_its_clusters_uses_none(user):
    plan = yaml.safe_load((ROOT / "config/ablations/clusters.yaml").read_text())
    made = ablation_plans.variant_configs(user, plan, [0])
    assert ablation_plans.config_faults(made, configs.schema()) == []
    assert {variant: uses(config) for (variant, _), config in made.items()} == {
        "baseline": ("imagenet", "classes", 0),
        "deepcluster_start": ("deepcluster", "classes", 0),
        "cluster_balance": ("imagenet", "clusters", 0),
        "consistency": ("imagenet", "classes", 0.5),
        "all_three": ("deepcluster", "clusters", 0.5),
    }
    assert {c["train_deepcluster"]["checkpoint"] for c in made.values()} == {"imagenet"}


def test_methods_are_compared_with_as_many_clusters_and_one_classifier(user):
    plan = yaml.safe_load((ROOT / "config/ablations/methods.yaml").read_text())
    user["train_clusters"]["count"] = 7
    made = ablation_plans.variant_configs(user, plan, [0])
    assert ablation_plans.config_faults(made, configs.schema()) == []
    found = {variant: config for (variant, _), config in made.items()}
    assert {uses(config) for config in made.values()} == {("imagenet", "classes", 0)}
    for stage in ("train_clusters", "train_deepcluster", "train_dcec"):
        assert {config[stage]["count"] for config in made.values()} == {7}
    pca = {c[s]["pca"] for c in made.values() for s in ("train_clusters", "train_deepcluster")}
    assert len(pca) == 1
    starts = {"encoder": "squeezenet1_1", "checkpoint": "imagenet"}
    starts |= {"precision": "fp32", "engine": "eager"}
    assert found["start"]["extract_features"] == starts
    assert found["random"]["extract_features"] == starts | {"checkpoint": "random"}
    methods = [config["cluster"]["method"] for config in found.values()]
    assert next(iter(found)) == "start" and methods == ["kmeans", "kmeans", "deepcluster", "dcec"]
