"""The config: complete, documented, refused in words, and what the scripts ask for."""

import ast
import copy
import functools
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config, validate

from workflow.lib.configuration import check_config, schema_faults
from workflow.lib.sheet import read_sheet
from workflow.tools.write_config_readme import readme

ROOT = Path(__file__).resolve().parents[1]
SCHEMA_FILE = ROOT / "workflow/schemas/config.schema.yaml"
STUDIES = sorted(path.stem for path in (ROOT / "config").glob("*.yaml") if path.stem != "config")

# What scripts ask for that is not in the section of their rule.
SHARED = {"seed", "classes", "negative", "level", "cam_scale", "pooling", "weights"}
SHARED |= {"max_quarantined", "window", "clustering", "fit_on"}
EXECUTION = {"shard", "fold", "method", "device", "batch", "threads", "work"}
EXECUTION |= {"check_timeout_s", "check_memory_mb"}
# Keys of a section that shape the workflow, and that no script sees.
WORKFLOW = {"refine_masks": {"methods"}}
NO_RULE = {"labels", "compute", "cluster"}


@functools.cache
def load(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def defaults() -> dict:
    return copy.deepcopy(load("config/config.yaml"))


def schema() -> dict:
    return load("workflow/schemas/config.schema.yaml")


def merged(study: str) -> dict:
    """The config of a study as Snakemake merges it."""
    config = defaults()
    update_config(config, copy.deepcopy(load(f"config/{study}.yaml")))
    return config


def edited(**changes) -> dict:
    """The defaults with tile_slide__mpp=... for tile_slide.mpp."""
    config = defaults()
    for path, value in changes.items():
        *sections, key = path.split("__")
        functools.reduce(dict.__getitem__, sections, config)[key] = value
    return config


def keys(section: dict, prefix: str = "") -> dict[str, dict]:
    """Dotted path -> schema of every key, sections included."""
    found = {}
    for name, key in section.get("properties", {}).items():
        if "$ref" in key:
            key = schema()["$defs"][key["$ref"].removeprefix("#/$defs/")] | key
        found[f"{prefix}{name}"] = key
        found |= keys(key, f"{prefix}{name}.")
    return found


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


WRONG = {
    "unknown key": (
        edited(tile_slide__tyle_px=224),
        "tile_slide: unknown key 'tyle_px'; did you mean tile_px?",
    ),
    "unknown section": (edited(tiles={}), "unknown key 'tiles'; did you mean tile_slide?"),
    "key like no other": (
        edited(make_cams__scale=2),
        "make_cams: unknown key 'scale'; known are consistency",
    ),
    "balance as a truth value": (
        edited(train_classifier__balance=True),
        "train_classifier.balance: True is not known; use one of ['classes', 'clusters', 'none']",
    ),
    "unknown balance": (
        edited(train_classifier__balance="slides"),
        "train_classifier.balance: 'slides' is not known; use one of ['classes', 'clusters', "
        "'none']",
    ),
    "consistency above all": (
        edited(make_cams__consistency=1.5),
        "make_cams.consistency: 1.5 is above 1, the highest value",
    ),
    "float as text": (
        edited(train_classifier__learning_rate="1e-4"),
        "train_classifier.learning_rate: '1e-4' is not a number: YAML reads it as text; "
        "write 1.0e-4",
    ),
    "large float as text": (
        edited(mask_tissue__min_area_um2="2.5e4"),
        "mask_tissue.min_area_um2: '2.5e4' is not a number: YAML reads it as text; write 2.5e+4",
    ),
    "quoted number": (
        edited(seed="0"),
        "seed: '0' is not a whole number; remove quotes and units",
    ),
    "class called no": (
        edited(labels__classes=[False, "tumour"]),
        "labels.classes.0: False is not text: put it in quotes, because YAML reads a bare no, 1 "
        "or 0.5 as a value",
    ),
    "truth value as a number": (edited(seed=True), "seed: True is not a whole number"),
    "too low": (edited(seed=-1), "seed: -1 is below 0, the lowest value"),
    "too high": (
        edited(tile_slide__min_tissue=25),
        "tile_slide.min_tissue: 25 is above 1, the highest value",
    ),
    "not above": (
        edited(train_classifier__learning_rate=0),
        "train_classifier.learning_rate: 0 is not above 0",
    ),
    "not below": (
        edited(stitch_heatmap__polygon_threshold=1),
        "stitch_heatmap.polygon_threshold: 1 is not below 1",
    ),
    "unknown word": (
        edited(tile_slide__codec="png"),
        "tile_slide.codec: 'png' is not known; use one of ['lossless', 'jpeg']",
    ),
    "unknown method": (
        edited(refine_masks__methods=["none", "irn"]),
        "refine_masks.methods.1: 'irn' is not known; use one of ['none', 'negev']",
    ),
    "no method": (
        edited(refine_masks__methods=[]),
        "refine_masks.methods: [] has fewer than 1 entries",
    ),
    "method twice": (
        edited(refine_masks__methods=["none", "none"]),
        "refine_masks.methods: ['none', 'none'] names something twice",
    ),
    "study that leaves its folder": (
        edited(study="../../x"),
        "study: '../../x' holds characters that are not allowed here; see config/README.md",
    ),
    "study with a line break": (
        edited(study="x\n"),
        "study: 'x\\n' holds characters that are not allowed here; see config/README.md",
    ),
    "checkpoint that is a path": (
        edited(extract_features__checkpoint="/x/y.pth"),
        "extract_features.checkpoint: '/x/y.pth' holds characters that are not allowed here; "
        "see config/README.md",
    ),
    "markup as a class": (
        edited(labels__classes=["normal", "<script>"]),
        "labels.classes.1: '<script>' holds characters that are not allowed here; "
        "see config/README.md",
    ),
    "empty path": (edited(slides=""), "slides: '' is empty"),
    "empty section": (edited(tile_slide=None), "tile_slide: None is not a section with keys"),
    "no key": (
        {key: value for key, value in defaults().items() if key != "seed"},
        "the key seed is missing; config/config.yaml has it",
    ),
    "101 classes": (
        edited(labels__classes=[f"c{i}" for i in range(101)]),
        "labels.classes: [",
    ),
}


@pytest.mark.parametrize("config, said", WRONG.values(), ids=WRONG)
def test_schema_refuses(config, said):
    found = schema_faults(config, schema())
    assert len(found) == 1 and found[0].startswith(said), found
    with pytest.raises(WorkflowError):
        validate(config, str(SCHEMA_FILE), set_default=False)


def test_all_faults_at_once():
    config = edited(seed=-1, tile_slide__mpp="0.5", study="a b")
    assert [fault.split(":")[0] for fault in schema_faults(config, schema())] == [
        "seed",
        "study",
        "tile_slide.mpp",
    ]


CONTRADICTIONS = {
    "one class": (
        edited(labels__classes=["tumour"], labels__negative=None),
        "labels.classes: 'tumour' alone cannot be told from anything; name two classes, or none "
        "for a study without labels",
    ),
    "classes alike": (
        edited(labels__classes=["Tumour", "tumour"], labels__negative=None),
        "labels.classes: Tumour, tumour differ only in case; use other names",
    ),
    "negative of another study": (
        edited(labels__negative="benign"),
        "labels.negative: 'benign' is not in labels.classes (normal, tumour); write one of them "
        "or null",
    ),
    "gaps between tiles": (
        edited(tile_slide__stride_px=129),
        "tile_slide.stride_px: 129 leaves gaps between tiles of 128 px; use at most tile_px",
    ),
    "downsample that does not divide": (
        edited(tile_slide__tile_px=130, refine_masks__downsample=4),
        "refine_masks.downsample: 4 does not divide tile_slide.tile_px, 130",
    ),
    "thresholds crossed": (
        edited(make_pseudo_masks__background=0.6),
        "make_pseudo_masks.background: 0.6 is not below foreground, 0.6",
    ),
    "mpp crossed": (
        edited(check_slide__mpp_min=30, tile_slide__mpp=1.0),
        "check_slide.mpp_min: 30 is not below mpp_max, 20.0",
    ),
    "tiles that no slide has": (
        edited(tile_slide__mpp=25),
        "tile_slide.mpp: 25 is outside check_slide.mpp_min and mpp_max (0.05 to 20.0)",
    ),
    "file without a folder": (
        edited(extract_features__checkpoint="uni"),
        "extract_features.checkpoint: 'uni' is a file, but weights names no folder; set weights "
        "to the folder that holds it, or use random or imagenet",
    ),
    "encoder that is learnt later": (
        edited(extract_features__checkpoint="deepcluster"),
        "extract_features.checkpoint: deepcluster is a start for train_classifier alone",
    ),
    "network that starts from itself": (
        edited(train_deepcluster__checkpoint="deepcluster"),
        "train_deepcluster.checkpoint: deepcluster is a start for train_classifier alone",
    ),
    "start of another architecture": (
        edited(train_classifier__checkpoint="deepcluster", train_classifier__backbone="vgg16"),
        "train_classifier.backbone: vgg16 cannot start from the resnet18 of train_deepcluster; "
        "give both the same backbone",
    ),
    "even dilation": (
        edited(train_decoder__negev__dilate_px=4),
        "train_decoder.negev.dilate_px: 4 has no middle pixel; use an odd number",
    ),
}


@pytest.mark.parametrize("config, said", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_check_refuses(config, said):
    assert schema_faults(config, schema()) == []
    assert said in check_config(config)


@pytest.mark.parametrize("checkpoint", ["random", "imagenet", "hub"])
def test_words_need_no_folder(checkpoint):
    assert check_config(edited(extract_features__checkpoint=checkpoint)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"train_classifier__checkpoint": "deepcluster", "train_classifier__balance": "clusters"},
        {
            "train_deepcluster__backbone": "vgg16"
        },  # matters only to a classifier that starts from it
    ],
)
def test_what_is_learnt_in_a_fold_needs_no_folder(changes):
    assert check_config(edited(**changes)) == []


def test_check_lists_all_contradictions():
    config = edited(
        labels__negative="x", tile_slide__stride_px=999, make_pseudo_masks__background=1
    )
    assert len(check_config(config)) == 3


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(sorted(keys(schema()))), value=values)
def test_any_value_is_used_or_refused_in_a_sentence(path, value):
    """Our sentences and the schema agree, and no value makes either fall over."""
    config = edited(**{path.replace(".", "__"): value})
    found = schema_faults(config, schema())
    assert bool(found) == (not Draft202012Validator(schema()).is_valid(config))
    for fault in found:
        assert path in fault
    if not found:
        check_config(config)


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
