"""The config: complete, documented, refused in words, and what the scripts ask for."""

import ast
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from snakemake.utils import validate

from tests.configs import ROOT, SCHEMA_FILE, defaults, edited, keys, load, merged, schema
from workflow.lib.cohort.sheet import read_sheet
from workflow.lib.jobs.configuration import schema_faults
from workflow.lib.jobs.contradictions import check_config
from workflow.tools.write_config_readme import readme

STUDIES = sorted(path.stem for path in (ROOT / "config").glob("*.yaml") if path.stem != "config")

# What scripts ask for that is not in the section of their rule.
SHARED = {"seed", "classes", "negative", "level", "cam_scale", "pooling", "weights"}
SHARED |= {"max_quarantined", "window", "map", "clustering", "fit_on", "group_by", "permute", "crf"}
SHARED |= {"bags"}
EXECUTION = {"shard", "fold", "method", "cam", "device", "batch", "threads", "work"}
EXECUTION |= {"check_timeout_s", "check_memory_mb", "scratch", "program"}
# Keys of a section that shape the workflow, and that no script sees.
WORKFLOW = {"refine_masks": {"methods"}, "make_cams": {"methods"}}
NO_RULE = {"labels", "compute", "cluster"}


def test_schema_is_a_schema():
    Draft202012Validator.check_schema(schema())


def test_defaults_fit():
    assert schema_faults(defaults(), schema()) == []
    assert check_config(defaults()) == []
    validate(defaults(), str(SCHEMA_FILE), set_default=False)


@pytest.mark.parametrize("study", STUDIES)
def test_studies_fit(study):
    assert schema_faults(merged(study), schema()) == []
    assert check_config(merged(study)) == []


@pytest.mark.parametrize("study", STUDIES)
def test_studies_hold_only_what_differs(study):
    def repeated(own, default, path=""):
        for key, value in own.items():
            if isinstance(value, dict):
                yield from repeated(value, default[key], f"{path}{key}.")
            elif value == default[key]:
                yield f"{path}{key}"

    assert not list(repeated(load(f"config/{study}.yaml"), defaults()))


@pytest.mark.parametrize("study", STUDIES)
def test_studies_fit_their_sheets(study):
    config = merged(study)
    sheet = ROOT / config["slides"]
    if not sheet.is_file():
        pytest.skip("the images of this study are not on this machine")
    classes = config["labels"]["classes"]
    assert read_sheet(sheet, classes=classes, labels_needed=bool(classes))


def test_every_key_is_described_and_closed():
    for path, key in keys(schema()).items():
        assert key.get("description", "").strip().endswith("."), path
        assert "type" in key, path
        assert "default" not in key, f"{path}: defaults live in config.yaml"
        if key["type"] == "object":
            assert key["additionalProperties"] is False, path
            assert set(key.get("required", ())) == set(key.get("properties", {})), path
        if key["type"] in ("number", "integer") and "enum" not in key:
            assert {"minimum", "exclusiveMinimum"} & set(key), path
            assert {"maximum", "exclusiveMaximum"} & set(key), path


def test_every_value_has_its_reason():
    """Each `key: value` line of the config files ends in a comment."""
    for path in (ROOT / "config").glob("*.yaml"):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            assert "\t" not in line
            if path.stem == "config" and re.match(r" *[a-z_0-9]+: *[^ #]", line):
                assert re.search(r" # \S", line), f"{path.name} line {number}"


def test_numbers_are_numbers():
    """YAML reads 1e-4 as text; nothing in the files may."""
    for name in ("config", *STUDIES):
        assert not re.search(r": +[0-9]+e", (ROOT / f"config/{name}.yaml").read_text())


def settings_of(script: Path) -> set[str]:
    """The keyword-only parameters of the script's function."""
    (stage,) = [
        node
        for node in ast.parse(script.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == script.stem
    ]
    return {argument.arg for argument in stage.args.kwonlyargs}


SCRIPTS = {path.stem: path for path in (ROOT / "workflow/scripts").glob("[a-z]*.py")}


@pytest.mark.parametrize("rule", sorted(SCRIPTS))
def test_section_is_what_the_script_asks_for(rule):
    asked = settings_of(SCRIPTS[rule])
    section = set(defaults().get(rule, {})) - WORKFLOW.get(rule, set())
    assert section <= asked
    assert asked - section <= SHARED | EXECUTION


@pytest.mark.parametrize("checkpoint", ["random", "imagenet", "hub"])
def test_words_need_no_folder(checkpoint):
    assert check_config(edited(extract_features__checkpoint=checkpoint)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {
            "cluster__method": "deepcluster",
            "train_classifier__checkpoint": "deepcluster",
            "train_classifier__balance": "clusters",
        },
        {"train_deepcluster__backbone": "vgg16"},  # only a classifier that starts from it minds
    ],
)
def test_what_is_learnt_in_a_fold_needs_no_folder(changes):
    assert check_config(edited(**changes)) == []


def test_every_section_has_a_rule():
    sections = {name for name, value in defaults().items() if isinstance(value, dict)}
    assert sections - NO_RULE <= set(SCRIPTS)


def test_readme_is_up_to_date():
    assert (ROOT / "config/README.md").read_text() == readme(ROOT), "run `make docs`"


def test_readme_names_every_key_and_column():
    text = readme(ROOT)
    for path, key in keys(schema()).items():
        assert (f"`{path}`" if key["type"] != "object" else f"# {path}") in text or (
            key["type"] == "object" and f" {path}\n" in text
        )
    for column in load("workflow/schemas/slides.schema.yaml")["properties"]:
        assert f"| `{column}` |" in text
