"""What results were made from, followed through manifests."""

import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from workflow.lib.cohort import ancestry as ancestry_module
from workflow.lib.cohort.ancestry import Ancestry, fold_of
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard, commit, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.jobs.verdicts import Quarantine

SLIDES = ("a", "b", "fold1")


@pytest.fixture
def results(tmp_path):
    """Tiles, a classifier of each of two folds that learnt from a and b, scores of every slide."""
    (tmp_path / "splits.tsv").write_text("who is where")
    run(tmp_path, "tiles/all.json")
    for fold in (0, 1):
        sources = ["tiles", "splits.tsv"]
        train(tmp_path, f"classifiers/fold{fold}.json", sources, {"trained_on": ["a"]})
        run(tmp_path, f"scores/fold{fold}/all.json", "tiles", f"classifiers/fold{fold}")
    return tmp_path


def shard(name):
    slides = [Slide(slide, None, slide) for slide in SLIDES]
    recipe = {"rule": name, "settings": {}, "slides": dict.fromkeys(SLIDES)}
    return Shard("all", slides, recipe)


def run(results, index, *sources):
    upstream = [results / source for source in sources]
    visit(results / index, shard(index), lambda slide, folder: {}, upstream=upstream)


def train(results, index, sources, facts):
    upstream = [results / source for source in sources]
    commit(results / index, shard(index), lambda f: facts, upstream=upstream, only={"a", "b"})


def remake(unit, recipe="another"):
    record = json.loads((unit / "manifest.json").read_text())
    (unit / "manifest.json").write_text(json.dumps(record | {"recipe": recipe}))


def test_the_models_behind_a_score(results):
    ancestry = Ancestry(results)
    scores = results / "scores/fold1/b"
    assert ancestry.models(scores) == {results / "classifiers/fold1"}
    assert ancestry.lost(scores) == []
    assert ancestry.models(results / "tiles/b") == set()
    assert ancestry.name(scores) == "scores/fold1/b"


def test_a_slide_that_is_called_like_a_fold(results):
    ancestry = Ancestry(results)
    assert ancestry.models(results / "scores/fold0/fold1") == {results / "classifiers/fold0"}


def test_models_are_followed_through_what_they_were_made_of(results):
    """A decoder is made of scores of many slides, which a classifier made."""
    train(results, "decoders/negev/fold0.json", ["splits.tsv", "scores/fold0"], {})
    run(results, "refined/negev/fold0/all.json", "decoders/negev/fold0")
    found = Ancestry(results).models(results / "refined/negev/fold0/a")
    assert found == {results / "decoders/negev/fold0", results / "classifiers/fold0"}


def names(ancestry, units):
    return {ancestry.name(unit) for unit in units}


def test_all_units_behind_a_result_not_only_the_next(results):
    train(results, "decoders/negev/fold0.json", ["splits.tsv", "scores/fold0"], {})
    run(results, "refined/negev/fold0/all.json", "decoders/negev/fold0")
    ancestry, refined = Ancestry(results), results / "refined/negev/fold0/fold1"
    chain = {"refined/negev/fold0/fold1", "decoders/negev/fold0", "classifiers/fold0"}
    chain |= {f"{stage}/{slide}" for stage in ("scores/fold0", "tiles") for slide in ("a", "b")}
    assert names(ancestry, ancestry.behind([refined])) == chain
    assert ancestry.behind([]) == set()
    remake(results / "tiles/b")  # three steps behind, and no model
    ancestry = Ancestry(results)
    found = {unit: ancestry.lost(unit) for unit in ancestry.behind([refined])}
    lost = {ancestry.name(unit): names for unit, names in found.items() if names}
    assert lost == {"scores/fold0/b": ["tiles"], "classifiers/fold0": ["tiles"]}


def test_a_chain_may_be_long(tmp_path):
    """Longer than the calls that Python nests."""
    told = {"verdict": "ok", "facts": {}, "recipe": "known"}
    units = [tmp_path / f"step{step}" for step in range(sys.getrecursionlimit() + 50)]
    for before, unit in zip([None, *units], units, strict=False):
        unit.mkdir()
        upstream = [[before.name, "known"]] if before else []
        record = told | {"made_from": {"upstream": upstream} | ({} if before else {"slides": {}})}
        (unit / "manifest.json").write_text(json.dumps(record))
    ancestry = Ancestry(tmp_path)
    assert ancestry.behind(units[-1:]) == set(units)
    assert ancestry.models(units[-1]) == set(units[:1])


def test_a_forged_circle_ends(results):
    file = results / "tiles/a/manifest.json"
    record = json.loads(file.read_text())
    scored = json.loads((results / "scores/fold0/a/manifest.json").read_text())
    record["made_from"]["upstream"] = [["fold0", scored["recipe"]]]
    file.write_text(json.dumps(record))
    ancestry = Ancestry(results)
    circle = {"tiles/a", "scores/fold0/a", "classifiers/fold0", "tiles/b"}
    assert names(ancestry, ancestry.behind([results / "tiles/a"])) == circle
    assert results / "classifiers/fold0" in ancestry.models(results / "tiles/a")


def test_every_manifest_is_read_once(results, monkeypatch):
    read = Counter()
    monkeypatch.setattr(ancestry_module, "manifest", lambda u: read.update([u]) or manifest(u))
    ancestry = Ancestry(results)
    units = ancestry.listed(sorted(results.glob("scores/*/all.json")))
    assert names(ancestry, units) == {f"scores/fold{f}/{s}" for f in (0, 1) for s in SLIDES}
    for unit in ancestry.behind(units):
        assert ancestry.lost(unit) == []
        ancestry.fold(unit)
        for model in ancestry.models(unit):
            ancestry.model(model)
    assert set(read.values()) == {1}


def test_what_is_quarantined_is_not_listed_but_is_a_source(results):
    """Its successors know it by its verdict, as lib/jobs/units.py does."""

    def fail(slide, folder):
        raise Quarantine("E_TILE", "It cannot be read.")

    visit(results / "bad/all.json", shard("bad"), fail, upstream=[results / "tiles"])
    run(results, "after/all.json", "bad")
    ancestry = Ancestry(results)
    assert ancestry.listed([results / "bad/all.json", results / "after/all.json"]) == []
    chain = {"after/a", "bad/a", "tiles/a"}
    assert names(ancestry, ancestry.behind([results / "after/a"])) == chain


def test_a_model_says_what_it_learnt_from_or_all_counts(results):
    ancestry = Ancestry(results)
    said = ancestry.model(results / "classifiers/fold1")
    assert (said.name, said.fold, said.recorded) == ("classifiers/fold1", 1, True)
    assert (said.trained_on, said.chosen_on, said.everywhere) == ({"a"}, set(), False)
    train(results, "shared.json", ["tiles"], {"fit_on": "all"})
    silent = Ancestry(results).model(results / "shared")
    assert (silent.fold, silent.recorded, silent.everywhere) == (None, False, True)
    assert silent.trained_on == {"a", "b"}


@pytest.mark.parametrize(
    ("change", "unit", "lost"),
    [
        (lambda r: remake(r / "tiles/b"), "scores/fold0/b", ["tiles"]),
        (lambda r: remake(r / "tiles/b"), "classifiers/fold0", ["tiles"]),
        (lambda r: remake(r / "tiles/fold1"), "classifiers/fold0", []),  # it did not read that
        (lambda r: remake(r / "classifiers/fold0"), "scores/fold0/a", ["fold0"]),
        (lambda r: remake(r / "classifiers/fold0"), "scores/fold1/a", []),
        (lambda r: (r / "splits.tsv").write_text("other"), "classifiers/fold1", ["splits.tsv"]),
        (lambda r: (r / "splits.tsv").unlink(), "classifiers/fold1", ["splits.tsv"]),
    ],
)
def test_what_is_not_there_any_more_is_lost(results, change, unit, lost):
    change(results)
    assert Ancestry(results).lost(results / unit) == lost


def test_drafts_are_no_sources(results):
    remake(results / "tiles/a")
    draft = results / "tiles/.a.1@here@2.draft"
    (results / "tiles/a").rename(draft)
    assert Ancestry(results).lost(results / "scores/fold0/a") == ["tiles"]


def test_the_fold_of_a_path():
    folds = {"decoders/negev/fold2": 2, "cams/fold10": 10, "heatmaps/negev": None, "folder/x": None}
    assert {path: fold_of(Path(path)) for path in folds} == folds


def test_the_fold_of_a_unit(tmp_path):
    """Neither a slide nor a folder above the results gives it, whatever they are called."""
    results = tmp_path / "fold7"
    stitched = results / "heatmaps/negev/all.json"
    visit(stitched, shard("stitch_heatmap"), lambda slide, folder: {"fold": 1})
    run(results, "tiles/all.json")
    run(results, "scores/fold0/all.json", "tiles")
    train(results, "classifiers/fold0.json", ["tiles"], {})
    train(results, "shared.json", ["tiles"], {})
    ancestry = Ancestry(results)
    folds = {"heatmaps/negev/a": 1, "heatmaps/negev/fold1": 1, "scores/fold0/fold1": 0}
    folds |= {"classifiers/fold0": 0, "shared": None}
    assert {unit: ancestry.fold(results / unit) for unit in folds} == folds
    assert ancestry.model(results / "shared").fold is None
