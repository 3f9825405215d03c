"""The plans of config/ablations: they fit the studies, and compare what they say they compare."""

import pytest
import yaml

from tests import configs
from tests.configs import ROOT
from workflow.lib.jobs.configuration import merge
from workflow.lib.measures import ablation


@pytest.mark.parametrize("plan", sorted((ROOT / "config/ablations").glob("*.yaml")), ids=str)
@pytest.mark.parametrize("study", ["config", "glas", "camelyon16-patches"])
def test_plans_that_come_along_fit_the_studies(plan, study):
    config = configs.merged(study) | {"weights": "folder"}
    plan = yaml.safe_load(plan.read_text())
    assert ablation.plan_faults(plan) == []
    assert ablation.read_targets(plan)
    if "random" in plan["variants"] and config["train_deepcluster"]["checkpoint"] == "random":
        faults = ablation.config_faults(
            ablation.variant_configs(config, plan, [0]), configs.schema()
        )
        assert [fault.split(";")[0] for fault in faults] == [
            "random: has the settings of start in this study"
        ]
        plan = ablation.without(plan, ["random"])
    made = ablation.variant_configs(config, plan, [0])
    assert ablation.config_faults(made, configs.schema()) == []


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
    made = ablation.variant_configs(user, plan, [0])
    assert ablation.config_faults(made, configs.schema()) == []
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
    made = ablation.variant_configs(user, plan, [0])
    assert ablation.config_faults(made, configs.schema()) == []
    found = {variant: config for (variant, _), config in made.items()}
    assert {uses(config) for config in made.values()} == {("imagenet", "classes", 0)}
    for stage in ("train_clusters", "train_deepcluster", "train_dcec"):
        assert {config[stage]["count"] for config in made.values()} == {7}
    pca = {c[s]["pca"] for c in made.values() for s in ("train_clusters", "train_deepcluster")}
    assert len(pca) == 1
    starts = {"encoder": "squeezenet1_1", "checkpoint": "imagenet", "precision": "fp32"}
    assert found["start"]["extract_features"] == starts
    assert found["random"]["extract_features"] == starts | {"checkpoint": "random"}
    methods = [config["cluster"]["method"] for config in found.values()]
    assert next(iter(found)) == "start" and methods == ["kmeans", "kmeans", "deepcluster", "dcec"]
