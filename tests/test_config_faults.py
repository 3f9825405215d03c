"""What a config may not say, and the sentence that it is refused with."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from tests.configs import SCHEMA_FILE, defaults, edited, keys, schema
from workflow.lib.jobs.configuration import schema_faults
from workflow.lib.jobs.contradictions import check_config

WRONG = {
    "unknown key": (
        edited(tile_slide__tyle_px=224),
        "tile_slide: unknown key 'tyle_px'; did you mean tile_px?",
    ),
    "unknown section": (edited(tiles={}), "unknown key 'tiles'; did you mean tile_slide?"),
    "key like no other": (
        edited(make_pseudo_masks__kernel=2),
        "make_pseudo_masks: unknown key 'kernel'; known are foreground, background",
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
    "pooling of another stage": (
        edited(train_classifier__pooling="top_k"),
        "train_classifier.pooling: 'top_k' is not known; use one of ['gap', 'max', 'lse', "
        "'wildcat', 'attention']",
    ),
    "sharpness of nothing": (
        edited(train_classifier__heads__lse__sharpness=0),
        "train_classifier.heads.lse.sharpness: 0 is not above 0",
    ),
    "stride between strides": (
        edited(train_classifier__stride=12),
        "train_classifier.stride: 12 is not known; use one of [8, 16, 32, None]",
    ),
    "unknown method of the cams": (
        edited(make_cams__methods=["cam", "eigencam"]),
        "make_cams.methods.1: 'eigencam' is not known; use one of ['cam', 'gradcam', ",
    ),
    "no method of the cams": (
        edited(make_cams__methods=[]),
        "make_cams.methods: [] has fewer than 1 entries",
    ),
    "scale that leaves nothing of a tile": (
        edited(make_cams__scales=[1.0, 0.1]),
        "make_cams.scales.1: 0.1 is below 0.25, the lowest value",
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
        "tile_slide.codec: 'png' is not known; use one of ['lossless', 'jpeg', 'copy']",
    ),
    "unknown method": (
        edited(refine_masks__methods=["none", "magic"]),
        "refine_masks.methods.1: 'magic' is not known; use one of ['none', 'morphology', 'crf', "
        "'irn', 'pixelcam', 'negev', 'rpnet', 'points', 'svm', 'unet']",
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


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300)
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
