"""What a job cost, and what each of its units did: kept when a later run finds them made."""

import json
import time
from types import SimpleNamespace

import pytest

from workflow.lib.jobs import devices, job
from workflow.lib.jobs.shard import Shard


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a job in which units are made, and gives the record that it leaves."""
    monkeypatch.setattr(devices, "choose", lambda named: named)  # any machine has any device
    (tmp_path / "slides.tsv").write_text("slide\tpath\tpatient\ns1\ts1.bin\tp1\n")
    compute = {"device": "cpu", "batch": 8, "check_timeout_s": 9, "check_memory_mb": 512}
    compute["scratch"] = None
    config = {"slides": str(tmp_path / "slides.tsv"), "weights": None, "compute": compute}
    recipe = {"rule": "stage", "settings": {}, "slides": {"s1": None}}
    snakemake = SimpleNamespace(
        params=SimpleNamespace(recipe=json.dumps(recipe)),
        config=config,
        log=[str(tmp_path / "logs" / "none.fold0.s1.log")],
        threads=1,
        input={},
        wildcards={},
        output=Named(tiles=str(tmp_path / "tiles.json")),
    )

    def run(*units, takes=0.01, fails=False, device="cpu"):
        compute["device"] = device

        def stage(*, shard: Shard, device: str):
            for unit in units:
                shard.timed(unit, lambda folder: time.sleep(takes))(None)
            if fails:
                raise ValueError("no")

        job.run(stage, snakemake)

    run.record = tmp_path / "logs" / "none.fold0.s1.run.json"
    return run


class Named(dict):
    """Outputs with their names; the first is asked for by its place."""

    def __getitem__(self, key):
        return list(self.values())[key]

    def __iter__(self):
        return iter(self.values())


def seconds(run):
    return json.loads(run.record.read_text())["unit_seconds"]


def test_what_a_unit_took_is_kept_until_it_is_made_again(run):
    run("a", "b")
    first = seconds(run)
    assert list(first) == ["a", "b"] and 0.01 <= first["a"] < 1
    run()
    assert seconds(run) == first
    run("b", takes=0.05)
    assert seconds(run)["a"] == first["a"] and seconds(run)["b"] >= 0.05
    assert json.loads(run.record.read_text())["key"] == "none.fold0.s1"


def test_times_are_of_the_device_beside_them(run):
    run("a", "b")
    first = seconds(run)
    run(device="cuda")  # nothing was made there
    assert seconds(run) == first and json.loads(run.record.read_text())["device"] == "cpu"
    run("b", device="cuda")
    assert list(seconds(run)) == ["b"] and json.loads(run.record.read_text())["device"] == "cuda"


def test_a_torn_record_is_begun_anew(run):
    run("a")
    run.record.write_text('{"unit_seconds": {"a"')
    run("b")
    assert list(seconds(run)) == ["b"]


def test_a_job_that_fails_keeps_what_it_has_measured(run):
    with pytest.raises(SystemExit):
        run("a", fails=True)
    assert list(seconds(run)) == ["a"]
