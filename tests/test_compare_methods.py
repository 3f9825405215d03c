"""compare_methods: what it reads of finished studies, and what it says of unfinished ones."""

import json

import pytest

from workflow.lib.jobs.tables import METRICS, metric_row, write_table
from workflow.tools.compare_methods import main


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Writes what the table is made of."""
    monkeypatch.chdir(tmp_path)

    def write(name, pxap, *, measured=True, cam="layercam"):
        results = tmp_path / "results" / name
        pixel = {"fold": "all", "level": "pixel", "n": 4}
        rows = [metric_row("pxap", pxap + 9, method="layercam", **pixel)] if cam == "cam" else []
        rows += [metric_row("pxap", pxap, (pxap - 1, pxap + 1), method="none", **pixel)]
        (results / "refined/none/fold0").mkdir(parents=True)
        index = {"recipe": {"made_of": {"cam": cam}}}
        (results / "refined/none/fold0/all.json").write_text(json.dumps(index))
        write_table(results / "metrics.tsv", METRICS, rows)
        placed = {"slide": "a", "fold": 0, "split": "test"}
        write_table(results / "splits.tsv", placed, [placed])
        keys = {"make_cams": f"{cam}.fold0.all", "refine_masks": "none.fold0.all"}
        keys |= {"stitch_heatmap": "none.all"}
        for rule, key in keys.items() if measured else ():
            file = tmp_path / "logs" / name / rule / f"{key}.run.json"
            file.parent.mkdir(parents=True)
            record = {"rule": rule, "key": key, "device": "cpu", "unit_seconds": {"a": 0.5}}
            file.write_text(json.dumps(record))
        return f"results/{name}"

    return write


def test_one_study_with_its_own_intervals(study, capsys):
    assert main([study("glas", 70.0)]) == 0
    table = capsys.readouterr().out
    cells = (
        "labels | 70.0 [69.0, 71.0] | not defined | not defined | not defined | 0 | 1.5 | 1 of 1"
    )
    assert f"| LayerCAM, unrefined | {cells} | 4 |" in table


def test_several_are_averaged_and_missing_times_are_left_out(study, capsys):
    studies = [study("a", 70.0, cam="cam"), study("b", 74.0, cam="cam", measured=False)]
    assert main([*studies, studies[0]]) == 0  # named twice, counted once
    first, second = capsys.readouterr().out.splitlines()[2:4]
    assert first.startswith("| LayerCAM | labels | 81.0 [")
    assert "| CAM, unrefined | labels | 72.0 [46.6, 97.4] |" in second
    assert "| 0 | 1.5 | 2 of 2 |" in second


def test_a_study_that_did_not_finish_or_has_no_truth_is_said(study, tmp_path, capsys):
    assert main([study("glas", 70.0), "results/other"]) == 1
    said = capsys.readouterr()
    assert said.err == "results/other: there is no metrics.tsv; run the study first\n"
    assert said.out == ""
    write_table(tmp_path / "results/glas/metrics.tsv", METRICS, [])
    assert main(["results/glas"]) == 1
    assert "no method was measured" in capsys.readouterr().err
