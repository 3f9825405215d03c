"""Configs merge as those of Snakemake do."""

import copy

from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.utils import update_config

from workflow.lib.jobs.configuration import merge

SECTIONS = st.recursive(
    st.integers() | st.text(max_size=2) | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from("abc"), SECTIONS, max_size=3), st.data())
@settings(max_examples=60)
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
