"""docs/faults.md names a test for every fault; tests/test_docs.py looks whether it is there."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("| \n").split(" | ")]
    for line in (ROOT / "docs/faults.md").read_text().splitlines()
    if re.match(r"\| \d+ \|", line)
]


def test_every_row_of_the_list_of_faults_is_there():
    assert [int(row[0]) for row in ROWS] == list(range(1, 67))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_something_shows_every_fault(row):
    named = re.findall(r"`(tests/[^`]+)`", row[3])
    assert named, "no test is named"
    for file in [name for name in named if "::" not in name]:
        cases = yaml.safe_load((ROOT / file).read_text())
        codes = {case["code"] for case in cases if case["row"] == int(row[0])}
        assert codes, f"{file} has no case of this row"
        if named == [file]:
            assert codes >= set(re.findall(r"E_\w+", row[2]))


def test_profiles_are_safe():
    profiles = {
        name: yaml.safe_load((ROOT / f"workflow/profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    }
    for profile in profiles.values():
        assert profile["rerun-incomplete"] and profile["keep-going"]
        assert not {"keep-incomplete", "nolock", "ignore-incomplete"} & set(profile)
    assert profiles["slurm"]["latency-wait"] >= 60 and profiles["slurm"]["retries"] >= 1
