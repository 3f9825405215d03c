"""docs/faults.md names a test for every fault; tests/test_docs.py looks whether it is there."""

import re
from types import SimpleNamespace

import pytest
import yaml

from tests.faults import OF_SLIDES, ROOT, SHOWN_BY, Row, Tally, read_rows

ROWS = read_rows()


def test_every_row_of_the_list_of_faults_is_there():
    assert [row.number for row in ROWS] == list(range(1, 67))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_something_shows_every_fault(row):
    assert row.named, "no test is named"
    for file in [name for name in row.named if "::" not in name]:
        cases = yaml.safe_load((ROOT / file).read_text())
        codes = {case["code"] for case in cases if case["row"] == row.number}
        assert codes, f"{file} has no case of this row"
        if row.named == [file]:
            assert codes >= set(re.findall(r"E_\w+", row.happens))


def test_every_case_is_named_by_its_row():
    files = {file.relative_to(ROOT).as_posix() for file in (ROOT / "tests/cases").glob("*.yaml")}
    for file in files | set(SHOWN_BY):
        for case in yaml.safe_load((ROOT / file).read_text()):
            assert case["row"] == 0 or file in ROWS[case["row"] - 1].named, (file, case["fault"])


@pytest.mark.parametrize("test", [OF_SLIDES, *SHOWN_BY.values()])
def test_what_makes_the_cases_is_there(test):
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text()


def test_cases_are_told_by_row():
    """What was not run is told from what failed, and counts once where two rows name it."""
    rows = [
        Row(1, "empty", "", ["tests/cases/files.yaml", "tests/test_x.py::test_both"]),
        Row(2, "noise", "", ["tests/cases/files.yaml"]),
        Row(3, "more", "", ["tests/test_x.py::test_both"]),
    ]
    tally = Tally(rows)
    ends = {
        f"{OF_SLIDES}[a]": ({"row": 1}, "passed"),
        f"{OF_SLIDES}[b]": ({"row": 2}, "failed"),
        f"{OF_SLIDES}[c]": ({"row": 2}, "passed"),
        "tests/test_x.py::test_both[1]": (None, None),
        "tests/test_x.py::test_both_and_more": (None, "passed"),
        "tests/test_y.py::test_another[leak]": ({"leak": "of no row"}, "passed"),
    }
    items = [
        SimpleNamespace(nodeid=node, callspec=SimpleNamespace(params={"case": case}))
        for node, (case, _) in ends.items()
    ]
    tally.pytest_collection_modifyitems(items)
    for node, (_, outcome) in ends.items():
        if outcome:
            report = SimpleNamespace(nodeid=node, when="call", outcome=outcome)
            tally.pytest_runtest_logreport(report)
    assert [line.split() for line in tally.table()[1:]] == [
        ["1", "2", "1", "1", "empty"],
        ["2", "2", "2", "1", "noise"],
        ["3", "1", "0", "0", "more"],
        ["all", "4", "3", "2"],
    ]


def test_profiles_are_safe():
    profiles = {
        name: yaml.safe_load((ROOT / f"workflow/profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    }
    for profile in profiles.values():
        assert profile["rerun-incomplete"] and profile["keep-going"]
        assert not {"keep-incomplete", "nolock", "ignore-incomplete"} & set(profile)
    assert profiles["slurm"]["latency-wait"] >= 60 and profiles["slurm"]["retries"] >= 1
