"""The benchmark of encoding: every way gives the same features, ratios are those of its turns."""

import re
import sys
from types import SimpleNamespace

import pytest
import torch

from benchmarks import encoding as benchmark

SMALL = ("--networks", "squeezenet1_1", "--tiles", "4", "--tile-px", "32", "--batch", "2")


def test_stage_and_forward_have_their_numbers(monkeypatch, capsys):
    given = (*SMALL, "--rounds", "1", "--engines", "eager", "--device", "cpu")
    monkeypatch.setattr(sys, "argv", ["encoding.py", *given])
    monkeypatch.setattr(benchmark, "choose_precision", lambda precision, device: "fp32")
    benchmark.main()
    head, *lines = capsys.readouterr().out.splitlines()
    assert re.split(r" {2,}", head) == [*benchmark.HEAD]
    cells = [re.split(r" {2,}", line) for line in lines]
    assert [row[:3] for row in cells] == [
        ["squeezenet1_1", "eager fp32", "forward"],
        ["squeezenet1_1", "eager fp32", "stage"],
    ]
    for row in cells:  # there is one turn
        assert row.pop(5) == f"{row[4]}-{row[4]}"
    forward, stage = ([float(cell) for cell in row[3:]] for row in cells)
    assert forward[2:7] == [1.0] * 5 and forward[-1] == stage[-1] == 1.0
    assert min(stage[:7]) > 0 and stage[2:4] == stage[5:7]
    assert stage[2:4] == pytest.approx([stage[0] / forward[0], stage[1] / forward[1]], rel=0.05)


def test_ratios_are_those_of_the_same_turns():
    def timed(wall, cpu, first, feature):
        seconds = {"wall": wall, "CPU": cpu, "own": cpu}
        return benchmark.Timed(seconds, first, torch.tensor([feature]))

    found = benchmark.rows(
        "net",
        {
            ("eager fp32", "forward"): timed([1.0, 2.0, 4.0], [1.0, 1.0, 1.0], 3.0, [1.0, 0.0]),
            ("openvino fp32", "forward"): timed([0.5, 0.5, 2.0], [0.5] * 3, 9.5, [1.0, 0.0]),
            ("openvino fp32", "stage"): timed([1.0, 1.0, 2.0], [0.8] * 3, 0.5, [0.6, 0.8]),
        },
        10,
    )
    assert [row[3:] for row in found] == [
        ("5", "10", "10-10", "1.00", "1.00", "1.00", "1.00", "1.00", "1.0", "1.0000000"),
        ("20", "20", "20-20", "1.00", "1.00", "", "2.00", "2.00", "9.0", "1.0000000"),
        ("10", "12.5", "12.5-12.5", "0.50", "0.62", "", "2.00", "1.25", "0.0", "0.6000000"),
    ]


def test_processes_that_share_a_cache_are_told_apart(monkeypatch):
    asked = []

    def run(command, *, env, **_):
        asked.append((command[3:5], env["TORCHINDUCTOR_CACHE_DIR"]))
        return SimpleNamespace(stdout=b"a word\n[20.04, 31.5]\n")

    monkeypatch.setattr(benchmark.subprocess, "run", run)
    monkeypatch.setattr(benchmark, "choose_precision", lambda precision, device: "fp32")
    sizes = {"batch": 2, "tile_px": 32, "threads": 1, "compiling": 2}
    given = SimpleNamespace(networks=["a", "b"], **sizes)
    assert [*benchmark.compiling(given)] == [
        (network, "fp32", what, "20.0", "31.5")
        for network in ("a", "b")
        for what in ("compiles", "loads")
    ]
    assert [words for words, _ in asked] == [["a", "fp32"]] * 2 + [["b", "fp32"]] * 2
    folders = [folder for _, folder in asked]
    assert folders[0] == folders[1] != folders[2] == folders[3]


@pytest.mark.slow
def test_a_second_process_loads_what_the_first_compiled(monkeypatch, capsys):
    given = (*SMALL, "--rounds", "1", "--engines", "eager", "--device", "cpu", "--compiling", "2")
    monkeypatch.setattr(sys, "argv", ["encoding.py", *given])
    monkeypatch.setattr(benchmark, "choose_precision", lambda precision, device: "fp32")
    benchmark.main()
    lines = capsys.readouterr().out.split("\n\n")[1].splitlines()
    head, *rows = [re.split(r" {2,}", line.strip()) for line in lines]
    assert head == [*benchmark.COMPILING] and [row[2] for row in rows] == ["compiles", "loads"]
    assert float(rows[0][4]) > float(rows[1][4]) > 0


def test_tiles_that_fill_no_batch_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["encoding.py", "--tiles", "5", "--batch", "2"])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert "--tiles is no multiple of --batch" in capsys.readouterr().err
