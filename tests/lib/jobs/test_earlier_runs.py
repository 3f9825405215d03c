"""What earlier runs took and left, read from results and logs that are laid out by hand."""

import json
from pathlib import Path

import pytest

from workflow.lib.jobs.earlier_runs import EarlierRun, method_of
from workflow.lib.jobs.explanation import sidecar
from workflow.lib.jobs.forecasts import Kept, Taken
from workflow.lib.jobs.guesses import ALIKE, OF_THE_DEMO, guess
from workflow.lib.jobs.recipe import ROOT
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.units import checksum, write_json

SLIDES = ["a.1", "b", "c"]


def recipe(rule):
    return {"rule": rule, "settings": {"epochs": 8}, "slides": dict.fromkeys(SLIDES)}


@pytest.fixture
def run(tmp_path):
    """A study of three slides, each its own shard, and one decoder."""
    results, logs = tmp_path / "results" / "demo", tmp_path / "logs"
    for slide in SLIDES:
        write_json(results / "checks" / f"{slide}.json", {"units": {slide: {}}})
    return EarlierRun(results, logs)


def note(run, rule, key, **others):
    record = {"seconds": 2.0, "cpu_seconds": 3.0, "max_rss_mb": 100, "threads": 1, "device": None}
    file = run.logs / rule / f"{key}.run.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record | {"unit_seconds": {}} | others))


def test_a_job_is_known_by_method_fold_and_shard(run):
    note(run, "make_cams", "cam.fold0.a.1", unit_seconds={"a.1": 1.5, "b": 0.25})
    note(run, "make_cams", "layercam.fold0.b", cpu_seconds=9.0)
    note(run, "train_negev", "fold1")
    (run.logs / "make_cams" / "cam.fold0.c.run.json").write_text("{")  # torn
    assert run.taken("make_cams", "cam") == [Taken(["a.1"], 2.0, 3.0, 1, 1.75, 100, None)]
    assert [job.cpu_seconds for job in run.taken("make_cams", "layercam")] == [9.0]
    assert run.taken("train_negev", "")[0].slides == SLIDES
    assert run.taken("make_cams", "gradcam") == run.taken("refine_masks", "") == []


@pytest.mark.parametrize(
    ("key", "shard", "wanted"),
    [
        ("all", "", ""),
        ("fold0", "", ""),
        ("cam.fold12.x.y", "x.y", "cam"),
        ("kmeans.x", "x", "kmeans"),
        ("x", "x", ""),
        ("fold0.fold1", "fold1", ""),  # a slide that is called like a fold
    ],
)
def test_the_method_is_what_is_no_fold_and_no_shard(key, shard, wanted):
    assert method_of(key, shard) == wanted


def test_bytes_and_files_are_those_of_manifests_and_indices(run):
    def work(folder):
        (folder / "model").write_bytes(b"12345")
        (folder / "curves").write_bytes(b"678")

    index = run.results / "decoders" / "negev" / "fold1.json"
    commit(index, Shard("all", [], recipe("train_negev")), work)
    size = (index.with_suffix("") / "manifest.json").stat().st_size
    kept, settings = run.kept("train_negev", [Path("decoders/negev/fold0.json")])
    assert kept == [Kept(SLIDES, False, size + 8, 4)]  # two files, the manifest, the index
    assert settings == {"epochs": 8}
    assert run.kept("train_irn", [Path("decoders/negev/fold0.json")]) == ([], {})
    assert run.kept("train_irn", [Path("decoders/irn/fold0.json")]) == ([], {})


def test_tables_lie_beside_their_sidecars(run):
    table = run.results / "metrics.tsv"
    table.write_text("12345")
    files = {table.name: checksum(table)}
    write_json(sidecar(table), {"recipe": recipe("summarise_study"), "files": files})
    kept, _ = run.kept("summarise_study", [Path("metrics.tsv"), Path("gone.tsv")])
    assert kept == [Kept(SLIDES, False, 5, 2)]


def test_a_study_that_never_ran_took_nothing(tmp_path):
    run = EarlierRun(tmp_path / "none", tmp_path)
    assert (run.tiled, run.shards, run.slides, run.taken("tile_slide", "")) == ({}, {}, [], [])


def test_there_is_a_guess_for_every_stage():
    text = "\n".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    rules = {line[5:-1] for line in text.splitlines() if line.startswith("rule ")}
    assert rules == set(OF_THE_DEMO) | set(ALIKE)
    rates = [guess(rule) for rule in rules]
    assert all(rate.guessed and rate.files >= 2 for rate in rates)
    with pytest.raises(KeyError):
        guess("make_coffee")
