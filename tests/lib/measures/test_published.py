"""Published numbers beside ours: who belongs to whom, hand-computed means, what is said."""

import math

import pytest
import yaml

from tests import configs
from tests.configs import ROOT
from tests.lib.ablated import row
from workflow.lib.jobs.tables import read_table
from workflow.lib.measures import ablation, ablation_plans
from workflow.lib.measures.published import (
    COLUMNS,
    PUBLISHED,
    beside,
    plan_faults,
    published_faults,
    published_table,
)

PLANS = sorted((ROOT / "config/reproductions").glob("*.yaml"))
PIXEL = {"level": "pixel", "metric": "pxap"}
CONFIGS = {
    name: {"train_classifier": {"backbone": backbone, "pooling": pooling}}
    for name, backbone, pooling in (
        ("deep", "resnet50", "gap"), ("wide", "vgg16", "gap"), ("small", "squeezenet1_1", "gap"),
        ("strong", "resnet50", "max"),
    )
}  # fmt: skip


def other(value, backbone, method="negev", called="NEGEV", pooling="gap"):
    cells = (called, method, pooling, backbone, "pixel", "pxap", str(value), "6", "A paper, 2022")
    return dict(zip(PUBLISHED, cells, strict=True))


def compared(values, seeds):
    """{(variant, seed): {method: PxAP}} -> the rows of a comparison."""
    finished = {
        run: [row(value, method=method, **PIXEL) for method, value in of.items()]
        for run, of in values.items()
    }
    variants = list(dict.fromkeys(variant for variant, _ in values))
    targets = [ablation.Target("pixel", "pxap")]
    return ablation.compare(finished, targets, variants=variants, seeds=seeds)


def laid(values, *others, seeds=(0, 1)):
    return beside(compared(values, seeds), CONFIGS, others)


def test_a_number_finds_the_one_of_its_method_backbone_and_pooling():
    values = {(name, seed): {"negev": 70 + seed} for name in CONFIGS for seed in (0, 1)}
    found = laid(values, other(82, "resnet50"), other(60, "resnet50", pooling="max", called="Max"))
    assert all(tuple(row) == COLUMNS for row in found)
    assert [(r["variant"], r["called"], r["published"], r["difference"]) for r in found] == [
        ("deep", "NEGEV", 82, -11.5),
        ("wide", None, None, None),
        ("small", None, None, None),
        ("strong", "Max", 60, 10.5),
    ]
    assert found[0]["value"] == 70.5 and found[0]["pixel_masks_used"] == 0
    half = 12.706204736432095 * 0.5  # t of one degree of freedom; deviation .7071 over root 2
    assert found[0]["low"] == pytest.approx(70.5 - half)
    assert found[0]["published_pixel_masks"] == "6" and found[0]["source"] == "A paper, 2022"


def test_a_method_is_not_taken_for_one_whose_name_begins_alike():
    values = {("deep", 0): {"gradcam": 50, "gradcam_pp": 60}}
    found = laid(values, other(70, "resnet50", method="gradcam_pp"), seeds=(0,))
    assert {r["method"]: r["published"] for r in found} == {"gradcam": None, "gradcam_pp": 70}


def test_the_mean_over_backbones_is_of_those_that_have_a_counterpart():
    """Seed 1 of wide is missing, so that the mean over backbones is of seed 0 alone."""
    values = {
        ("deep", 0): {"negev": 70}, ("deep", 1): {"negev": 90},
        ("wide", 0): {"negev": 60}, ("small", 0): {"negev": 10},
    }  # fmt: skip
    found = laid(values, other(80, "resnet50"), other(90, "vgg16"))
    mean = found[-1]
    assert (mean["variant"], mean["backbone"]) == ("mean", "mean")
    assert (mean["value"], mean["published"], mean["difference"]) == (65, 85, -20)
    assert mean["seeds"] == 1 and math.isnan(mean["low"])
    assert len(found) == 4


def test_one_counterpart_makes_no_mean():
    values = {("deep", 0): {"negev": 70}, ("wide", 0): {"negev": 60}}
    found = laid(values, other(80, "resnet50"), seeds=(0,))
    assert [r["variant"] for r in found] == ["deep", "wide"]


def test_the_table_shows_both_and_says_what_differs():
    values = {("deep", s): {"negev": 70 + s, "none": 50} for s in (0, 1, 2)}
    values |= {("strong", s): {"negev": 60} for s in (0, 1, 2)}
    found = laid(values, other(82, "resnet50"), seeds=(0, 1, 2))
    text = published_table(found, seeds=3, differs=["Other\n  epochs."])
    assert "| pixel pxap | negev (NEGEV) | resnet50 | 71.0 [68.5, 73.5] | 3 of 3 |" in text
    assert "| 82.0 | 6 | -11.0 |" in text
    assert "| pixel pxap | negev, max pooling | resnet50 | 60.0 [60.0, 60.0] |" in text
    assert "| none | resnet50 | 50.0 [50.0, 50.0] | 3 of 3 | 9 | 0 |  |  |  |" in text
    assert "Published: A paper, 2022." in text and "\n* Other epochs.\n" in text
    one = published_table(laid({("deep", 0): {"negev": 70}}, seeds=(0,)), seeds=1)
    assert "| 70.0 | 1 of 1 |" in one and "Give at least three" in one and "differs" not in one


@pytest.mark.parametrize("file", sorted((ROOT / "config/published").glob("*.tsv")), ids=str)
def test_published_tables_that_come_along_are_tables(file):
    rows = read_table(file)
    assert published_faults(rows) == []
    # The means that are printed in the paper, one decimal; ours are of its three backbones.
    printed = {
        "glas": {"CAM": 61.1, "GradCAM++": 70.8, "LayerCAM": 68.2, "NEGEV": 77.8, "U-Net": 96.2},
        "camelyon16-512": {"CAM": 33.8, "DeepMIL": 54.2, "NEGEV": 58.9, "U-Net": 82.9},
    }[file.stem]
    for called, mean in printed.items():
        values = [float(row["value"]) for row in rows if row["called"] == called]
        assert len(values) == 3 and sum(values) / 3 == pytest.approx(mean, abs=0.11)


@pytest.mark.parametrize("file", PLANS, ids=str)
def test_plans_that_come_along_fit_their_studies(file):
    plan = yaml.safe_load(file.read_text())
    assert plan_faults(plan) == []
    study = configs.merged(plan["configfile"].removeprefix("config/").removesuffix(".yaml"))
    made = ablation_plans.variant_configs(study, plan, [0])
    assert ablation_plans.config_faults(made, configs.schema()) == []
    backbones = {variant: c["train_classifier"]["backbone"] for (variant, _), c in made.items()}
    published = {row["backbone"] for row in read_table(ROOT / plan["published"])}
    assert published <= set(backbones.values())
    assert all(name.split("-")[0] == backbone for name, backbone in backbones.items())


@pytest.mark.parametrize("name", ["glas", "camelyon16-512"])
def test_one_command_gives_every_published_row_chosen_as_published(name):
    """By as many masks as the table of the paper says, in every stage that chooses."""
    plan = yaml.safe_load((ROOT / f"config/reproductions/{name}-bloc.yaml").read_text())
    study = configs.merged(plan["configfile"].removeprefix("config/").removesuffix(".yaml"))
    made = ablation_plans.variant_configs(study, plan, [0]).values()
    rows = read_table(ROOT / plan["published"])
    given = {
        (method, config["train_classifier"]["pooling"], config["train_classifier"]["backbone"])
        for config in made
        for method in config["refine_masks"]["methods"] + config["make_cams"]["methods"][1:]
    }
    assert given == {(row["method"], row["pooling"], row["backbone"]) for row in rows}
    (masks,) = {int(row["pixel_masks"]) for row in rows if row["pixel_masks"] != "all"}
    for config in made:
        for stage in ("train_classifier", "train_negev"):
            assert (config[stage]["choose_by"], config[stage]["masks"]) == ("masks", masks)
        assert config["evaluate_masks"]["masks"] == masks


@pytest.mark.parametrize(
    "change, said",
    [
        ({"published": None}, "published: name the file that is the table of published numbers"),
        ({"differs": "all"}, "differs: write a list of sentences"),
        ({"slides": 3}, "slides: name a sheet"),
        ({"variants": {}}, "variants: name at least one"),
        ({"target": []}, "unknown key 'target'"),
    ],
)
def test_what_is_wrong_with_a_plan_is_said(change, said):
    plan = {"configfile": "c", "published": "p", "targets": [PIXEL], "variants": {"a": {}}}
    assert plan_faults(plan) == []
    assert [fault[: len(said)] for fault in plan_faults(plan | change)] == [said]
    assert "holds no targets" in plan_faults(None)[0]


def test_what_is_wrong_with_a_published_table_is_said():
    rows = [other(80, "vgg16"), other("8o", "resnet50"), other(81, "vgg16")]
    assert published_faults(rows) == [
        "line 3: '8o' is no number",
        "line 4: negev gap vgg16 pixel pxap is given a second time",
    ]
    assert "it has the columns a, not called" in published_faults([{"a": "1"}])[0]
