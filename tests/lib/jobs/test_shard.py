"""Units are whole or absent, skipped when current, and one bad slide stops nothing."""

import errno
import json
import os
from pathlib import Path

import pytest

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.drafts import place
from workflow.lib.jobs.shard import Shard, assign_shards, commit, visit
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.jobs.verdicts import Quarantine


def slides(*names):
    return [Slide(name, Path(f"{name}.svs"), f"p-{name}", "normal") for name in names]


def shard(*names, identity="i", **settings):
    made_from = {"rule": "tile_slide", "settings": settings, "code": "c", "versions": {}}
    return Shard("all", slides(*names), made_from | {"slides": dict.fromkeys(names, identity)})


class Work:
    """Writes the slide's name; remembers whom it was called for; fails on request."""

    def __init__(self, **errors):
        self.called, self.errors = [], errors

    def __call__(self, slide, folder):
        self.called.append(slide.slide)
        (folder / "payload.txt").write_text(slide.slide)
        if slide.slide in self.errors:
            raise self.errors[slide.slide]
        return {"tiles": 3}


def test_a_visit_commits_units_and_an_index(tmp_path):
    index = tmp_path / "tiles" / "all.json"
    visit(index, shard("a", "b", mpp=1.0), Work())
    found = manifest(tmp_path / "tiles" / "a")
    assert found["verdict"] == "ok" and found["facts"] == {"tiles": 3}
    assert found["files"]["payload.txt"]["bytes"] == 1
    assert found["made_from"]["settings"] == {"mpp": 1}
    assert sorted(json.loads(index.read_text())["units"]) == ["a", "b"]
    assert sorted(os.listdir(index.parent)) == ["a", "all.json", "b"]


def test_a_second_visit_does_nothing_and_writes_the_same_bytes(tmp_path):
    index, again = tmp_path / "tiles" / "all.json", Work()
    visit(index, shard("a", "b"), Work())
    before = index.read_bytes(), (index.parent / "a" / "manifest.json").read_bytes()
    visit(index, shard("a", "b"), again)
    assert again.called == []
    assert (index.read_bytes(), (index.parent / "a" / "manifest.json").read_bytes()) == before


def test_only_what_changed_is_made_again(tmp_path):
    index = tmp_path / "tiles" / "all.json"
    visit(index, shard("a", "b"), Work())
    changed = shard("a", "b")
    changed.recipe["slides"]["b"] = "replaced"
    work = Work()
    visit(index, changed, work)
    assert work.called == ["b"]
    work = Work()
    visit(index, shard("a", "b", mpp=2), work)
    assert work.called == ["a", "b"]


def test_only_what_was_made_was_timed(tmp_path):
    index, model = tmp_path / "tiles" / "all.json", tmp_path / "decoders" / "fold0.json"
    first, again, trained = shard("a", "b"), shard("a", "b", "c"), shard("a")
    visit(index, first, Work(b=Quarantine("E_MPP", "b says 499 um.")))
    assert list(first.seconds) == ["a"] and 0 < first.seconds["a"] < 1
    visit(index, again, Work())
    assert list(again.seconds) == ["b", "c"]
    commit(model, trained, lambda folder: {}, upstream=[index.parent])
    assert list(trained.seconds) == ["fold0"]


def test_an_upstream_change_reaches_the_slides_it_touches(tmp_path):
    tiles, features = tmp_path / "tiles" / "all.json", tmp_path / "features" / "all.json"
    visit(tiles, shard("a", "b"), Work())
    visit(features, shard("a", "b"), Work(), upstream=[tiles.parent])
    changed = shard("a", "b")
    changed.recipe["slides"]["a"] = "replaced"
    visit(tiles, changed, Work())
    work = Work()
    visit(features, shard("a", "b"), work, upstream=[tiles.parent])
    assert work.called == ["a"]


def test_a_changed_model_or_table_reaches_every_slide(tmp_path):
    model, scores = tmp_path / "models" / "fold0.json", tmp_path / "scores" / "all.json"
    table = tmp_path / "splits.tsv"
    table.write_text("one")
    commit(model, shard("a"), lambda folder: {"epochs": 1})
    upstream = [model.with_suffix(""), table]
    visit(scores, shard("a", "b"), Work(), upstream=upstream)
    table.write_text("two")
    work = Work()
    visit(scores, shard("a", "b"), work, upstream=upstream)
    assert work.called == ["a", "b"]
    commit(model, shard("a", epochs=2), lambda folder: {"epochs": 2})
    work = Work()
    visit(scores, shard("a", "b"), work, upstream=upstream)
    assert work.called == ["a", "b"]


def test_quarantine_is_recorded_carried_and_leaves_no_payload(tmp_path):
    tiles, features = tmp_path / "tiles" / "all.json", tmp_path / "features" / "all.json"
    visit(tiles, shard("a", "b"), Work(a=Quarantine("E_MPP", "a says 499 um.")))
    found = manifest(tmp_path / "tiles" / "a")
    assert (found["verdict"], found["sentence"], found["files"]) == ("E_MPP", "a says 499 um.", {})
    work = Work()
    visit(features, shard("a", "b"), work, upstream=[tiles.parent])
    assert work.called == ["b"]
    assert manifest(tmp_path / "features" / "a")["verdict"] == "E_MPP"
    assert usable(features.parent, ["a", "b", "never"]) == ["b"]


def test_another_sentence_of_the_same_verdict_is_carried_on(tmp_path):
    tiles, features = tmp_path / "tiles" / "all.json", tmp_path / "features" / "all.json"
    for mpp in (499, 501):
        refused = Quarantine("E_MPP", f"a says {mpp} um.")
        visit(tiles, shard("a", mpp=mpp), Work(a=refused))
        visit(features, shard("a"), Work(), upstream=[tiles.parent])
        assert manifest(features.parent / "a")["sentence"] == f"a says {mpp} um."


def test_a_slide_without_tiles_is_empty_all_the_way(tmp_path):
    tiles, features = tmp_path / "tiles" / "all.json", tmp_path / "features" / "all.json"
    visit(tiles, shard("a"), lambda slide, folder: {"tiles": 0})
    visit(features, shard("a"), lambda slide, folder: {}, upstream=[tiles.parent])
    assert manifest(features.parent / "a")["verdict"] == "ok_empty"


def test_an_unexpected_error_keeps_the_others_and_fails_the_job(tmp_path):
    index = tmp_path / "tiles" / "all.json"
    with pytest.raises(RuntimeError, match="1 of 3 slides failed.*b: boom"):
        visit(index, shard("a", "b", "c"), Work(b=ValueError("boom")))
    assert not index.exists()
    assert usable(index.parent, "abc") == ["a", "c"]
    assert sorted(os.listdir(index.parent)) == ["a", "c"]
    work = Work()
    visit(index, shard("a", "b", "c"), work)
    assert work.called == ["b"]


def test_a_full_disk_stops_at_once(tmp_path):
    work = Work(a=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        visit(tmp_path / "tiles" / "all.json", shard("a", "b"), work)
    assert work.called == ["a"]


def test_only_limits_the_visit(tmp_path):
    index, work = tmp_path / "tiles" / "all.json", Work()
    visit(index, shard("a", "b"), work, only={"b"})
    assert work.called == ["b"] and list(json.loads(index.read_text())["units"]) == ["b"]


def test_building_on_nothing_is_an_error(tmp_path):
    with pytest.raises(RuntimeError, match="run the stage before"):
        visit(tmp_path / "x" / "all.json", shard("a"), Work(), upstream=[tmp_path / "tiles"])


def test_drafts_of_dead_jobs_go_and_those_of_living_ones_stay(tmp_path):
    folder, host = tmp_path / "tiles", place()
    dead = folder / f".a.999999999@{host}@x.draft"
    alive = folder / f".a.{os.getpid()}@{host}@x.draft"
    elsewhere = folder / f".a.999999999@{host}-2@x.draft"
    for draft in (dead, alive, elsewhere):
        draft.mkdir(parents=True)
    index = folder / f".all.json.999999999@{host}@x.draft"
    index.write_text("{")
    visit(folder / "all.json", shard("a"), Work())
    assert not dead.exists() and alive.exists() and elsewhere.exists()
    assert not index.exists()


def test_a_unit_torn_by_a_crash_is_made_again(tmp_path):
    index = tmp_path / "tiles" / "all.json"
    visit(index, shard("a"), Work())
    (index.parent / "a" / "manifest.json").write_text("{")
    work = Work()
    visit(index, shard("a"), work)
    assert work.called == ["a"] and manifest(index.parent / "a")["verdict"] == "ok"


def test_a_model_is_made_from_the_slides_it_uses_only(tmp_path):
    tiles, model = tmp_path / "tiles" / "all.json", tmp_path / "models" / "fold0.json"
    visit(tiles, shard("a", "b"), Work())
    made = []
    for _ in range(2):
        commit(model, shard("a", "b"), made.append, upstream=[tiles.parent], only={"a"})
    changed = shard("a", "b")
    changed.recipe["slides"]["b"] = "replaced"
    visit(tiles, changed, Work())
    commit(model, shard("a", "b"), made.append, upstream=[tiles.parent], only={"a"})
    assert len(made) == 1
    commit(model, shard("a", "b"), made.append, upstream=[tiles.parent])
    assert len(made) == 2


def test_a_model_is_made_anew_by_facts_of_slides_that_it_reads(tmp_path):
    model, made, changed = tmp_path / "models" / "fold0.json", [], shard("a", "b")
    changed.recipe["slides"]["b"] = "another mask"
    assert changed.facts(["b", "a"], {"a"}) == {"a": "i", "b": None}
    for given in (shard("a", "b"), changed):
        commit(model, given, made.append, only={"a", "b"}, read={"a"})
        assert len(made) == 1 and json.loads(model.read_text())["recipe"] == given.recipe
    commit(model, changed, made.append, only={"a", "b"}, read={"b"})
    assert len(made) == 2


def test_buckets_do_not_move_slides_when_one_is_added():
    names = [f"s{i:04d}" for i in range(300)]
    before = assign_shards(names, 50)
    after = assign_shards([*names, "new"], 50)
    assert sorted(name for bucket in before.values() for name in bucket) == names
    touched = [name for name in after if before.get(name) != after[name]]
    assert len(before) == 8 and len(touched) == 1


@pytest.mark.parametrize("code", ["E_IO", "E_TILE"])
def test_a_bad_verdict_is_tried_again_where_it_was_given_and_heals_all_the_way(tmp_path, code):
    """The storage is back, or the file was copied again in place."""
    checks, tiles = tmp_path / "checks" / "all.json", tmp_path / "tiles" / "all.json"
    visit(checks, shard("a"), Work(a=Quarantine(code, "a cannot be read.")))
    carried = Work()
    visit(tiles, shard("a"), carried, upstream=[checks.parent])
    before = (tiles.parent / "a" / "manifest.json").stat().st_ino
    visit(tiles, shard("a"), carried, upstream=[checks.parent])
    assert carried.called == [] and (tiles.parent / "a" / "manifest.json").stat().st_ino == before
    assert manifest(tiles.parent / "a")["verdict"] == code
    visit(checks, shard("a"), Work())
    visit(tiles, shard("a"), carried, upstream=[checks.parent])
    assert manifest(tiles.parent / "a")["verdict"] == "ok"
