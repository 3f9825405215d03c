"""A study that begins with the results of another one: whole, and without a way to change them."""

import json
import os

import pytest

from tests.lib.ablated import RECIPE, unit
from workflow.lib.jobs import inheriting
from workflow.lib.jobs.explanation import sidecar
from workflow.lib.jobs.units import checksum, manifest, write_json
from workflow.tools import verify


def table(file, text):
    file.write_text(text)
    write_json(sidecar(file), {"recipe": RECIPE, "files": {file.name: checksum(file)}})


@pytest.fixture
def made(tmp_path):
    """What an earlier run left: units, indices, tables, a torn table, a draft, its own numbers."""
    made = tmp_path / "results" / "made"
    unit(made / "tiles" / "s1.json", RECIPE, "old")
    for name in ("splits.tsv", "metrics.tsv", "torn.tsv"):
        table(made / name, f"{name}\n")
    (made / "evaluation").mkdir()
    table(made / "evaluation" / "methods.tsv", "what it took here\n")
    (made / "torn.tsv").write_text("to")
    (made / "unsigned.tsv").write_text("x\n")
    (made / "identities.json").write_text("{}")
    for hidden in (".s2.1@host@2.draft", ".fold0.work"):
        (made / "tiles" / hidden).mkdir()
        (made / "tiles" / hidden / "x").touch()
    os.utime(made / "tiles" / "s1.json", ns=(10**18, 10**18))
    return made


def test_a_run_begins_with_what_is_whole_of_an_earlier_one(made):
    results = made.with_name("new")
    inheriting.begin_with(made, results)
    found = {str(file.relative_to(results)) for file in results.rglob("*") if file.is_file()}
    assert found == {
        *("identities.json", "splits.tsv", ".splits.tsv.recipe.json"),
        *("tiles/s1.json", "tiles/s1/manifest.json", "tiles/s1/x.zarr/c0"),
    }
    assert (results / "tiles/s1.json").stat().st_mtime_ns == 10**18
    assert (results / "tiles/s1/x.zarr/c0").samefile(made / "tiles/s1/x.zarr/c0")
    for copied in ("tiles/s1.json", "splits.tsv", "identities.json"):
        assert not (results / copied).samefile(made / copied)
    assert [p.name for p in results.parent.iterdir() if p.name.startswith(".")] == []


def test_what_a_run_replaces_stays_with_the_other(made, capsys):
    results = made.with_name("new")
    inheriting.begin_with(made, results)
    unit(results / "tiles" / "s1.json", RECIPE | {"settings": {"mpp": 2}}, "new")
    table(results / "splits.tsv", "other\n")
    assert (results / "tiles/s1/x.zarr/c0").read_text() == "new"
    assert (made / "tiles/s1/x.zarr/c0").read_text() == "old"
    assert (made / "splits.tsv").read_text() == "splits.tsv\n"
    assert json.loads((made / "tiles/s1.json").read_text())["recipe"]["settings"] == {"mpp": 1}
    (made / "torn.tsv").write_text("torn.tsv\n")
    (made / "unsigned.tsv").unlink()
    assert verify.main([str(made), str(results)]) == 0, capsys.readouterr().out


def test_units_with_the_current_recipe_are_not_made_again(made):
    results = made.with_name("new")
    inheriting.begin_with(made, results)
    unit(results / "tiles" / "s1.json", RECIPE, "would be made again")
    assert (results / "tiles/s1/x.zarr/c0").samefile(made / "tiles/s1/x.zarr/c0")


def test_results_that_have_begun_are_left_alone(made):
    results = made.with_name("new")
    (results / "checks").mkdir(parents=True)
    assert inheriting.has_begun(results)
    inheriting.begin_with(made, results)
    assert [file.name for file in results.iterdir()] == ["checks"]
    inheriting.begin_with(None, made.with_name("newer"))
    assert not made.with_name("newer").exists()


@pytest.mark.parametrize("left", [[], ["identities.json", ".identities.json.5e6f"]])
def test_what_a_dry_run_leaves_is_no_beginning(made, left):
    results = made.with_name("new")
    assert not inheriting.has_begun(results)
    results.mkdir()
    for name in left:
        (results / name).write_text("left")
    assert not inheriting.has_begun(results)
    inheriting.begin_with(made, results)
    assert inheriting.has_begun(results)
    assert (results / "tiles/s1.json").is_file()
    assert (results / "identities.json").read_text() == "{}"
    assert not (results / ".identities.json.5e6f").exists()


def test_a_killed_beginning_begins_again(made, monkeypatch):
    results = made.with_name("new")

    def killed(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(inheriting, "_link", killed)
        with pytest.raises(KeyboardInterrupt):
            inheriting.begin_with(made, results)
    assert not results.exists()
    inheriting.begin_with(made, results)
    assert manifest(results / "tiles/s1")["verdict"] == "ok"
    assert (results / "splits.tsv").is_file()


def test_units_are_copied_where_they_cannot_be_linked(made, monkeypatch):
    def refuse(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    results = made.with_name("new")
    inheriting.begin_with(made, results)
    copied = results / "tiles/s1/x.zarr/c0"
    assert copied.read_text() == "old" and not copied.samefile(made / "tiles/s1/x.zarr/c0")
