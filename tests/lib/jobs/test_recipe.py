"""What a recipe holds, and what changes it."""

import ast
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.jobs.recipe import (
    DISTRIBUTIONS,
    ROOT,
    _modules,
    _read,
    as_param,
    canon,
    digest,
    fingerprint,
    recipe,
    versions,
)

# They bind, check, draw or show progress.
NEVER_A_NUMBER = {
    "botocore", "google_crc32c", "huggingface_hub", "jinja2", "jsonschema", "markupsafe",
    "matplotlib", "safetensors", "threadpoolctl", "tqdm", "yaml",
}  # fmt: skip

# Where a setting asks for them; the rule then puts their release into the recipe.
OF_A_SETTING = {"openvino"}

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda item: st.lists(item) | st.dictionaries(st.text(), item),
    max_leaves=10,
)


def project(folder, **modules):
    """A project of a script and library modules, with the script's path."""
    lib = folder / "workflow" / "lib"
    lib.mkdir(parents=True, exist_ok=True)
    for name, text in modules.items():
        (lib / f"{name}.py").write_text(text)
    script = folder / "script.py"
    fingerprint.cache_clear()
    return script


def test_canon_ignores_order_and_integer_floats_but_not_swaps_or_types():
    assert canon({"a": 1, "b": 2}) == canon({"b": 2.0, "a": 1.0})
    assert canon({"a": 1, "b": 2}) != canon({"a": 2, "b": 1})
    assert canon({"a": "1"}) != canon({"a": 1})
    assert canon((1, 2)) == canon([1, 2])


@given(PLAIN)
def test_equal_values_have_equal_digests(value):
    assert digest(value) == digest(value)


@pytest.mark.parametrize("value", [{1, 2}, ROOT, object(), b"x"])
def test_values_without_a_stable_text_are_refused(value):
    with pytest.raises(TypeError, match="not a plain setting"):
        canon({"key": value})


def test_fingerprint_follows_imports_of_imports(tmp_path):
    script = project(
        tmp_path, near="from workflow.lib.far import f\n", far="def f():\n    return 1\n"
    )
    script.write_text("def stage():\n    from workflow.lib.near import f\n    return f\n")
    before = fingerprint(script, tmp_path)
    project(tmp_path, far="def f():\n    return 2\n")
    assert fingerprint(script, tmp_path) != before


def test_fingerprint_ignores_comments_docstrings_and_modules_not_imported(tmp_path):
    script = project(tmp_path, near="X = 1\n", other="Y = 1\n")
    script.write_text("from workflow.lib.near import X\n")
    before = fingerprint(script, tmp_path)
    project(tmp_path, near='"""Words."""\n\n# more words\nX = 1\n', other="Y = 2\n")
    assert fingerprint(script, tmp_path) == before


def test_fingerprint_sees_a_swap_of_two_values(tmp_path):
    script = project(tmp_path)
    script.write_text("A, B = 1, 2\n")
    before = fingerprint(script, tmp_path)
    fingerprint.cache_clear()
    script.write_text("A, B = 2, 1\n")
    assert fingerprint(script, tmp_path) != before


def test_every_script_has_a_recipe_of_plain_values():
    scripts = sorted((ROOT / "workflow" / "scripts").glob("[a-z]*.py"))
    assert len(scripts) > 10
    for script in scripts:
        made = recipe(script.stem, {"mpp": 0.5}, {"s1": None})
        assert canon(made)
        absent = {name for name, version in versions(script).items() if version == "absent"}
        assert absent <= {"umap-learn"}, script  # the one that a user installs if wanted


def test_versions_name_what_a_script_computes_with(tmp_path):
    script = project(tmp_path, near="import numpy as np\n")
    script.write_text("from workflow.lib.near import np\n")
    assert set(versions(script, tmp_path)) == {"numpy"}


def test_libraries_behind_a_library_count(tmp_path):
    script = project(tmp_path)
    script.write_text("import simplejpeg\nimport tifffile\n")
    assert set(versions(script, tmp_path)) == {"imagecodecs", "simplejpeg", "tifffile"}


def test_every_third_party_import_of_the_library_is_known():
    known = set(DISTRIBUTIONS) | NEVER_A_NUMBER | OF_A_SETTING
    known |= set(sys.stdlib_module_names) | {"workflow"}
    for path in (ROOT / "workflow" / "lib").rglob("*.py"):
        found = {name.split(".")[0] for name in _read(path.read_bytes()).imports}
        assert found <= known, path


def test_packages_hold_nothing_that_fingerprints_would_miss():
    packages = list((ROOT / "workflow").rglob("__init__.py"))
    assert len(packages) > 10
    for path in packages:
        assert len(ast.parse(path.read_text()).body) <= 1, path  # what it is, in a sentence


def reached(rule):
    """Modules of the project and distributions that the recipe of a stage knows of."""
    script = ROOT / "workflow" / "scripts" / f"{rule}.py"
    modules = {name.rpartition(".")[2] for name in _modules(script, ROOT)}
    return modules, set(versions(script))


@pytest.mark.parametrize(
    "rule, needs, spared",
    [
        ("train_classifier", "cluster_networks", {"autoencoders", "dcec", "clustering"}),
        ("train_deepcluster", "linear_probes", {"bootstrap", "autoencoders", "dcec"}),
        ("train_dcec", "autoencoders", {"bootstrap", "cluster_networks", "deepcluster"}),
        ("train_clusters", "clustering", {"cluster_networks", "deepcluster", "dcec"}),
        ("assign_clusters", "clusters", {"clustering", "kmeans", "whitening"}),
        ("make_cams", "clusters", {"clustering", "kmeans", "whitening", "cluster_networks"}),
        ("probe_networks", "linear_probes", {"bootstrap", "probe_tables", "deepcluster", "dcec"}),
        ("explain_tiles", "attributions", {"cam_makers", "overlays", "deepcluster", "dcec"}),
        ("draw_networks", "networks", {"summary", "linear_probes", "deepcluster", "dcec"}),
    ],
)
def test_a_stage_is_not_made_anew_for_code_that_it_does_not_use(rule, needs, spared):
    modules, _ = reached(rule)
    assert needs in modules and not modules & spared
    library = {path.stem for path in (ROOT / "workflow" / "lib").rglob("*.py")}
    assert spared <= library  # a module that was renamed spares nothing


@pytest.mark.parametrize(
    "rule", ["make_cams", "assign_clusters", "embed_tiles", "train_classifier"]
)
def test_stages_that_fit_no_clusters_do_not_wait_for_libraries_that_do(rule):
    assert not reached(rule)[1] & {"faiss-cpu", "scikit-learn"}
    assert {"faiss-cpu", "scikit-learn"} <= reached("train_deepcluster")[1]


@given(PLAIN)
def test_a_param_reads_as_the_recipe_and_holds_no_markup(value):
    assert json.loads(as_param(value)) == json.loads(canon(value))
    assert not set("<>&") & set(as_param(value))
