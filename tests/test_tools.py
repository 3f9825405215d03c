"""verify finds damage, explain says why."""

import json
import shutil

import pytest

from workflow.lib.jobs.damage import find_damage
from workflow.lib.jobs.explanation import changes, recorded_recipe, sidecar
from workflow.lib.jobs.recipe import canon
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.units import checksum, write_json
from workflow.tools import explain, verify

RECIPE = {"rule": "r", "settings": {"a": 1, "b": 2}, "slides": {"s1": {"identity": "x"}}}


@pytest.fixture
def results(tmp_path):
    def work(folder):
        (folder / "x.zarr").mkdir()
        (folder / "x.zarr" / "c0").write_bytes(b"12345")
        return {}

    commit(tmp_path / "tiles" / "s1.json", Shard("s1", [], RECIPE), work)
    table = tmp_path / "splits.tsv"
    table.write_text("fold\n")
    write_json(sidecar(table), {"recipe": RECIPE, "files": {"splits.tsv": checksum(table)}})
    return tmp_path


def change(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def verified(results, capsys):
    return verify.main([str(results)]), capsys.readouterr().out


def test_verify_passes_a_whole_study(results, capsys):
    status, out = verified(results, capsys)
    assert status == 0 and "2 results checked, 0 problems found." in out


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda r: (r / "tiles/s1/x.zarr/c0").unlink(), "c0: is missing"),
        (lambda r: (r / "tiles/s1/x.zarr/c0").write_bytes(b"12346"), "c0: its bytes changed"),
        (lambda r: (r / "tiles/s1/x.zarr/c0").write_bytes(b"1"), "has 1 bytes instead of 5"),
        (lambda r: (r / "tiles/s1/x.zarr/c1").write_bytes(b""), "c1: is not in the manifest"),
        (lambda r: (r / "tiles/s1/manifest.json").write_text("{"), "cannot be read"),
        (lambda r: change(r / "tiles/s1/manifest.json", '"facts":{', '"facts":{"a":1'), "changed"),
        (lambda r: change(r / "tiles/s1/manifest.json", '"b":2', '"b":3'), "its bytes changed"),
        (lambda r: change(r / "tiles/s1.json", '"b":2', '"b":3'), "s1.json: cannot be read"),
        (lambda r: change(r / "tiles/s1.json", '"seal"', '"sael"'), "s1.json: cannot be read"),
        (lambda r: (r / "splits.tsv").write_text("gold\n"), "splits.tsv: its bytes changed"),
        (lambda r: (r / "splits.tsv").unlink(), "splits.tsv: is missing"),
        (lambda r: (r / ".splits.tsv.recipe.json").unlink(), "splits.tsv: nothing vouches for it"),
    ],
)
def test_verify_names_every_kind_of_damage(results, capsys, damage, sentence):
    damage(results)
    status, out = verified(results, capsys)
    assert status == 1 and sentence in out and "1 problems found" in out
    foreign = "is not in the manifest" in sentence or "vouches" in sentence
    assert ("Remedy: " in out and "--repair --cores 2" in out) != foreign
    assert ("yours to move away" in out) == foreign


def test_verify_finds_any_flipped_bit_of_a_record(results, capsys):
    """Manifest, index and sidecar, bit by bit: each carries a seal of itself."""
    for name in ("tiles/s1/manifest.json", "tiles/s1.json", ".splits.tsv.recipe.json"):
        record = results / name
        whole = record.read_bytes()
        for place in range(0, len(whole), 7):
            record.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
            _, damages = find_damage(results)
            assert damages, (name, place)
        record.write_bytes(whole)
    assert find_damage(results) == (2, [])


def test_verify_checks_results_of_earlier_versions_that_have_no_seal(results, capsys):
    for name in ("tiles/s1/manifest.json", "tiles/s1.json", ".splits.tsv.recipe.json"):
        content = json.loads((results / name).read_text())
        del content["seal"]
        (results / name).write_text(canon(content) + "\n")
    assert verified(results, capsys)[0] == 0
    change(results / "tiles/s1/manifest.json", '"b":2', '"b":3')
    assert verified(results, capsys)[0] == 1


def test_verify_tells_of_units_that_no_index_lists(results, capsys):
    (results / "tiles/s1.json").unlink()
    status, out = verified(results, capsys)
    assert status == 0 and "Listed by no index" in out and "tiles/s1" in out


def test_verify_misses_a_unit_that_an_index_lists(results, capsys):
    shutil.rmtree(results / "tiles/s1")
    status, out = verified(results, capsys)
    assert status == 1 and "tiles/s1: is missing" in out
    assert "E_DAMAGED: made by r: tiles/s1\n" in out


def test_verify_sees_a_unit_that_is_not_what_its_index_lists(results, capsys):
    file = results / "tiles" / "s1.json"
    index = json.loads(file.read_text())
    index["units"]["s1"]["recipe"] = "another"
    write_json(file, index)
    status, out = verified(results, capsys)
    assert status == 1 and "tiles/s1: is not the result that its index lists" in out
    write_json(file.with_name("all.json"), index)  # of an earlier grouping into shards
    index["units"]["s1"] = {
        key: json.loads((results / "tiles/s1/manifest.json").read_text())[key]
        for key in ("recipe", "verdict")
    }
    write_json(file, index)
    assert verified(results, capsys)[0] == 0


def test_verify_of_nothing_is_an_error(tmp_path, capsys):
    status, out = verified(tmp_path / "none", capsys)
    assert status == 1 and "there is no such folder" in out


def test_recipes_are_recorded_in_indices_and_sidecars(results):
    assert recorded_recipe(results / "tiles" / "s1.json") == RECIPE
    assert recorded_recipe(results / "splits.tsv") == RECIPE
    assert recorded_recipe(results / "metrics.tsv") is None


def test_changes_name_the_key_and_both_values():
    new = {
        "rule": "r",
        "settings": {"a": 2, "b": 1},
        "slides": {"s1": {"identity": "x"}, "s2": None},
    }
    assert changes(RECIPE, new) == [("settings.a", 1, 2), ("settings.b", 2, 1)]
    assert changes(RECIPE, RECIPE) == []


DRY_RUN = """
rule tile_slide:
    input: results/demo/checks/a.json
    output: results/demo/tiles/a.json
    log: logs/demo/tile_slide/a.log
    jobid: 3
    reason: Params have changed since last execution: ...
    wildcards: shard=a

rule extract_features:
    input: results/demo/tiles/a.json
    output: results/demo/features/a.json
    jobid: 2
    reason: Input files updated by another job: results/demo/tiles/a.json

rule all:
    input: results/demo/report.html
    jobid: 0
    reason: Input files updated by another job: results/demo/report.html
"""


def test_explain_gives_key_old_value_new_value():
    noted = {
        "results/demo/tiles/a.json": {
            "slides": ["s1", "s2"],
            "changes": [["settings.mpp", 0.5, 1.0]],
        }
    }
    assert explain.explain(DRY_RUN, noted) == [
        "tile_slide: 1 job over 2 slides",
        "    mpp: 0.5 -> 1.0",
        "extract_features: 1 job over 0 slides",
        "    a stage before it runs",
    ]
    assert explain.explain("Nothing to be done.", {})[0].startswith("Nothing to be done")
