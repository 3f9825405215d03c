"""What a study was made with and what it cost."""

import json

from workflow.lib.report.provenance import (
    list_choices,
    list_versions,
    list_warnings,
    list_weights,
    read_usage,
    sum_usage,
)


def unit(checkpoint=None, trained=None, **made_from):
    made_of = {"checkpoint": checkpoint} if checkpoint else {}
    files = {"model.safetensors": {"sha256": trained}} if trained else {}
    return {"made_from": {"made_of": made_of} | made_from, "files": files}


def test_versions_that_differ_are_all_told():
    units = [unit(versions={"torch": "2", "numpy": "1"}), unit(versions={"torch": "3"})]
    assert list(list_versions(units).items()) == [("numpy", "1"), ("torch", "2, 3")]


def test_weights_are_told_once_for_the_encoder_and_for_each_model():
    features = [unit("random", settings={"encoder": "net9"})] * 2
    features += [unit("sha256:ab", settings={"encoder": "net9"})]
    models = {"Classifier, fold 0": unit("random", "cd"), "NEGEV, fold 0": unit(None, "ef")}
    models["Classifier, fold 1"] = unit("deepcluster", "01")
    models["SVM, fold 0"] = unit("nothing", "23")
    nobody, licences = "none needed: no weights of others", {"sha256:ab": "MIT", "random": ""}
    assert [tuple(row.values()) for row in list_weights(features, models, licences)] == [
        ("Encoder net9", "random", "", nobody),
        ("Encoder net9", "sha256:ab", "", "MIT"),
        ("Classifier, fold 0", "random", "cd", nobody),
        ("NEGEV, fold 0", "", "ef", "as its classifier"),
        ("Classifier, fold 1", "deepcluster", "01", "as its clustering"),
        ("SVM, fold 0", "nothing", "23", nobody),
    ]


def test_of_weights_that_nobody_knows_the_licence_is_not_stated():
    [row] = list_weights([unit("sha256:ab", settings={"encoder": "net9"})], {}, {})
    assert row["licence"] == "not stated"


def test_choices_are_told_once_per_kind():
    facts = {"chosen_by": "the loss", "precision": "fp32"}
    models = {f"Classifier, fold {fold}": {"facts": facts} for fold in range(3)}
    models["NEGEV, fold 0"] = {"facts": facts | {"masks": ["a", "b", "c", "d"]}}
    models["NEGEV, fold 1"] = {"facts": facts | {"precision": "bf16"}}
    models["Points, fold 0"] = {"facts": facts | {"points": 9, "masks": ["a", "b"]}}
    assert list_choices(models) == [
        "Classifier: the loss; 0 pixel masks used; computed in fp32.",
        "NEGEV: the loss; 4 pixel masks used; computed in fp32.",
        "NEGEV: the loss; 0 pixel masks used; computed in bf16.",
        "Points: the loss; 9 points on 2 slides used; computed in fp32.",
    ]


def test_the_masks_that_taught_a_classifier_are_behind_its_decoders():
    facts = {"chosen_by": "the loss", "precision": "fp32"}
    models = {
        "Classifier, fold 0": {"facts": facts | {"masks": ["a", "b", "c"]}},
        "Classifier, fold 1": {"facts": facts | {"masks": ["a", "b"]}},
        "NEGEV, fold 0": {"facts": facts | {"masks": []}},
        "NEGEV, fold 1": {"facts": facts | {"masks": ["b", "c", "d", "e"]}},
    }
    assert [said.split("; ")[1] for said in list_choices(models)] == [
        f"{masks} pixel masks used" for masks in (3, 2, 3, 5)
    ]


def test_a_machine_without_a_classifier_counts_its_own_masks_alone():
    facts = {"chosen_by": "the loss", "precision": "fp32"}
    models = {
        "Classifier, fold 0": {"facts": facts | {"masks": ["a", "b", "c"]}},
        "SVM (pixel-supervised), fold 0": {"facts": facts | {"masks": ["a", "d"]}},
        "U-Net (pixel-supervised), fold 0": {"facts": facts | {"masks": ["a", "d"]}},
    }
    assert [said.split("; ")[1] for said in list_choices(models)] == [
        f"{masks} pixel masks used" for masks in (3, 2, 4)
    ]


def record(rule, seconds, **changes):
    given = {"rule": rule, "seconds": seconds, "cpu_seconds": 2 * seconds, "max_rss_mb": 10}
    return given | {"threads": 1, "host": "a", "device": None} | changes


def test_usage_is_summed_by_rule_and_the_slowest_comes_first():
    jobs = [
        record("quick", 1.0),
        record("slow", 2.5, max_rss_mb=99, host="b", device="cuda"),
        record("slow", 4.0, threads=8, device="cpu"),
    ]
    assert sum_usage(jobs) == [
        {
            "rule": "slow",
            "jobs": 2,
            "seconds": 6.5,
            "cpu_seconds": 13.0,
            "max_rss_mb": 99,
            "threads": 8,
            "hosts": "a, b",
            "devices": "cpu, cuda",
        },
        {
            "rule": "quick",
            "jobs": 1,
            "seconds": 1.0,
            "cpu_seconds": 2.0,
            "max_rss_mb": 10,
            "threads": 1,
            "hosts": "a",
            "devices": "",
        },
    ]


def test_records_are_read_and_torn_ones_are_passed_over(tmp_path):
    for name, text in {"a": json.dumps(record("a", 1)), "b": '{"rule": "b"', "c": ""}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "all.run.json").write_text(text)
    assert [job["rule"] for job in read_usage(tmp_path)] == ["a"]
    assert read_usage(tmp_path / "nowhere") == []


def test_warnings_of_models_are_listed_and_silence_is_not():
    models = {
        "Classifier, fold 0": {"facts": {"warning": "too weak"}},
        "Classifier, fold 1": {"facts": {"warning": None}},
        "NEGEV, fold 0": {"facts": {}},
    }
    assert list_warnings(models) == ["too weak"]
