"""What a config may not say, and the sentence that it is refused with."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from tests.configs import SCHEMA_FILE, cases, damaged, edited, keys, schema
from workflow.lib.jobs.configuration import schema_faults
from workflow.lib.jobs.contradictions import check_config

REFUSED = cases("refused")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["fault"])
def test_schema_refuses(case):
    config = damaged(case)
    found = schema_faults(config, schema())
    assert len(found) == 1 and found[0].startswith(case["sentence"]), found
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
