"""The benchmark of the graph makes up studies that Snakemake takes for finished."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "dag.py"


def test_shards_are_as_large_as_is_recommended():
    recommended = runpy.run_path(str(FILE))["recommended"]
    assert [recommended(count) for count in (10, 500, 501, 5000, 10_000, 100_000)] == [
        *(8, 8, 50, 50, 500, 500),
    ]


@pytest.mark.slow
def test_a_made_up_study_has_nothing_to_do_until_a_parameter_is_edited():
    command = [sys.executable, FILE, "--slides", "6", "--per-shard", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    head, *rows = [line.strip("| ").split("|") for line in done.stdout.splitlines()]
    rows = [[cell.strip() for cell in row] for row in rows]
    assert len(head) == 7 and [row[:2] for row in rows] == [["6", "2"]] * 3
    assert [row[3] for row in rows] == ["first", "nothing to do", "one parameter"]
    total, edited = int(rows[0][2]), int(rows[2][6])
    assert [row[6] for row in rows[:2]] == [str(total), "0"] and 0 < edited < total / 2
    assert all(float(row[4]) > 0.5 and float(row[5]) > 50 for row in rows)
