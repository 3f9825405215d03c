"""What `make explain` says a run would cost: an earlier study is laid out by hand."""

import json

import pytest

from workflow.lib.jobs.units import write_json
from workflow.tools import explain

DRY_RUN = """
rule make_cams:
    input: results/new/tiles/a.json
    output: results/new/cams/cam/fold0/a.json
    log: logs/new/make_cams/cam.fold0.a.log
    jobid: 3
    reason: Missing output files: results/new/cams/cam/fold0/a.json
    wildcards: cam=cam, fold=0, shard=a
    resources: tmpdir=/tmp, mem_mb=3000, mem=3 GB, mem_mib=2862

rule train_negev:
    output: results/new/decoders/negev/fold0.json
    log: logs/new/train_negev/fold0.log
    jobid: 2
    reason: Missing output files: results/new/decoders/negev/fold0.json
    wildcards: fold=0
    resources: mem_mb=4000, gpu=1, tmpdir=/tmp

rule all:
    input: results/new/report.html
    jobid: 0
    reason: Input files updated by another job: results/new/report.html
"""
TILING = {"mpp": 1.0, "tile_px": 200, "stride_px": 100}
STUDY = {"study": "new", "bytes": {"a": 1000, "b": 3000}, "tiling": TILING}
NOTED = {
    "results/new/cams/cam/fold0/a.json": {"slides": ["a"], "settings": {"scales": [1]}},
    "results/new/decoders/negev/fold0.json": {"slides": ["a", "b"], "settings": {"epochs": 8}},
}


def tile(folder, slide, tiles, **settings):
    made_from = {"settings": TILING | settings}
    unit = {"made_from": made_from, "facts": {"tiles": tiles}, "verdict": "ok"}
    write_json(folder / "tiles" / slide / "manifest.json", unit)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Slide a of the new study has 25 tiles; an old study made cams of 50 Mpx in 500 CPU s."""
    monkeypatch.chdir(tmp_path)
    results, logs = tmp_path / "results", tmp_path / "logs"
    tile(results / "new", "a", 25)
    tile(results / "old", "x", 5000, tile_px=100, mpp=0.5)
    recipe = {"rule": "make_cams", "settings": {"scales": [1]}, "slides": {"x": None}}
    write_json(results / "old" / "checks" / "s1.json", {"units": {"x": {}}})
    index = results / "old" / "cams" / "cam" / "fold3" / "s1.json"
    write_json(index, {"recipe": recipe, "units": {"x": {}}})
    files = {"cams": {"bytes": 50_000_000}}
    write_json(index.parent / "x" / "manifest.json", {"files": files})
    job = {"seconds": 500, "cpu_seconds": 500, "max_rss_mb": 2800, "threads": 1, "device": "cpu"}
    record = logs / "old" / "make_cams" / "cam.fold3.s1.run.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(job | {"unit_seconds": {"x": 500}}))
    return results


def words(line):
    return " ".join(line.split())


def test_what_was_measured_of_another_study_is_counted_in_pixels(results):
    """25 tiles of 0.04 Mpx are 1 Mpx: 10 CPU s, 1 MB, 2,800 MB of the 3,000 asked for."""
    empty, title, heads, cams, negev, total, unsure, memory = explain.forecast(
        DRY_RUN, NOTED, STUDY
    )
    assert (empty, title[:13], words(heads)[:10]) == ("", "What it costs", "stage jobs")
    assert words(cams) == "make_cams cam 1 1 ~25 ~<0.01 0 ~1.0 MB ~3 3,000 2,800 old"
    assert words(negev).startswith("train_negev 1 2 ~100 ~") and negev.endswith("a guess")
    assert "  ?  " in negev and words(total).startswith("all 2 ~")
    assert unsure == "~ 1 slides are not tiled yet: tiles guessed from bytes of their files."
    assert memory.startswith("make_cams cam asks for 3,000 MB and took 2,800")


def test_tiles_of_other_settings_are_converted(results):
    """400 tiles 50 um apart cover what 100 do that are 100 um apart."""
    tile(results / "new", "a", 400, mpp=0.5)
    cams = explain.forecast(DRY_RUN, NOTED, STUDY)[3]
    assert words(cams).startswith("make_cams cam 1 1 ~100 ")


def test_what_was_measured_otherwise_is_a_guess_that_says_so(results):
    tile(results / "new", "b", 75)
    before = explain.forecast(DRY_RUN, NOTED, STUDY)[3]
    assert words(before).startswith("make_cams cam 1 1 25 <0.01") and before.endswith("old")
    output = "results/new/cams/cam/fold0/a.json"
    noted = NOTED | {output: {"slides": ["a"], "settings": {"scales": [0.5, 1]}}}
    cams = explain.forecast(DRY_RUN, noted, STUDY)[3]
    assert words(cams).startswith("make_cams cam 1 1 25 ~<0.01")
    assert cams.endswith("old: scales [1]")


def test_nothing_to_do_costs_nothing():
    assert explain.forecast("Nothing to be done.", {}, STUDY) == []


def test_the_jobs_are_compared_with_those_that_a_profile_lets_into_the_queue(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("executor: slurm\njobs: 2\n")
    given, more = ["--profile", str(tmp_path)], DRY_RUN.replace("all:", "x:\n    output: y")
    assert explain.queue(DRY_RUN, given) == [
        f"2 jobs, 2 at once in the queue (jobs of {file}): no stage has more at a time (make_cams"
        " 1)."
    ]
    cams = DRY_RUN[: DRY_RUN.index("rule train_negev")]
    assert explain.queue(cams * 3 + more, given) == [
        f"6 jobs, 2 at once in the queue (jobs of {file}), 4 of make_cams: raise slides_per_shard,"
        " or jobs if the site lets you."
    ]
    assert explain.queue(cams * 3, [*given, "--jobs", "3"])[0].startswith("3 jobs, 3 at once")
    for nothing in (["--profile", "elsewhere"], []):
        assert explain.queue(DRY_RUN, nothing) == []
    assert explain.queue("Nothing to be done.", given) == []
