"""The list of faults, docs/faults.md, with its cases, run and passed, by row: `make faults`.

    python -m tests.faults                          all rows but slow tests and those of Slurm
    python -m tests.faults --rows 1-28 34 -m ""     these rows, slow tests too

Exits with 1 where a case failed, or where a test that a row names is not there.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What makes the cases of a file of tests/cases; those of other files are slides.
SHOWN_BY = {
    "tests/cases/sheets/refused.yaml": (
        "tests/lib/cohort/test_sheet.py::test_a_sheet_that_cannot_be_is_refused_line_by_line"
    ),
    "tests/cases/configs/refused.yaml": "tests/test_config_faults.py::test_schema_refuses",
    "tests/cases/configs/contradictions.yaml": (
        "tests/test_config_contradictions.py::test_check_refuses"
    ),
}
OF_SLIDES = "tests/test_cases.py::test_every_fault_gets_its_verdict"


class Row(NamedTuple):
    """A row of the list; `named` are files of cases, and tests as file::function."""

    number: int
    fault: str
    happens: str
    named: list[str]


def read_rows() -> list[Row]:
    """All rows of docs/faults.md."""
    rows = []
    for line in (ROOT / "docs/faults.md").read_text().splitlines():
        if re.match(r"\| \d+ \|", line):
            number, fault, happens, shown = (cell.strip() for cell in line[1:-1].split(" | "))
            rows.append(Row(int(number), fault, happens, re.findall(r"`(tests/[^`]+)`", shown)))
    return rows


def test_of(named: str) -> str:
    """file::function of what a row names."""
    return named if "::" in named else SHOWN_BY.get(named, OF_SLIDES)


def belongs(row: Row, node: str, case: object) -> bool:
    """Whether a test is a case of the row; case: what it is called with, or None."""
    test = node.partition("[")[0]
    if test in row.named:
        return True
    files = [named for named in row.named if "::" not in named]
    of_row = isinstance(case, dict) and case.get("row") == row.number
    return of_row and test in map(test_of, files)


class Tally:
    """A plugin of pytest: which tests there are for each row, and how each ended."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows, self.cases = list(rows), {}
        self.ended: dict[str, str] = {}

    @pytest.hookimpl(tryfirst=True)  # before any is deselected
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            call = getattr(item, "callspec", None)
            self.cases[item.nodeid] = call.params.get("case") if call else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.outcome != "passed":
            self.ended[report.nodeid] = report.outcome

    def table(self) -> list[str]:
        """A line a row, and one of all."""
        lines = [f"{'row':>3}  {'cases':>5}  {'run':>4}  {'passed':>6}  fault"]
        seen = set()
        for row in self.rows:
            nodes = [node for node, case in self.cases.items() if belongs(row, node, case)]
            lines.append(f"{row.number:>3}  {self._counts(nodes)}  {row.fault}")
            seen.update(nodes)
        return [*lines, f"all  {self._counts(seen)}"]

    def _counts(self, nodes: Iterable[str]) -> str:
        ends = Counter(self.ended.get(node, "not run") for node in nodes)
        run = ends["passed"] + ends["failed"]
        return f"{ends.total():>5}  {run:>4}  {ends['passed']:>6}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", nargs="+", default=["1-66"], help="numbers, or 1-28")
    parser.add_argument("-m", dest="marked", default="not slow and not slurm", help="as of pytest")
    given = parser.parse_args()
    wanted = set()
    for span in given.rows:
        first, _, last = span.partition("-")
        wanted |= set(range(int(first), int(last or first) + 1))
    tally = Tally(row for row in read_rows() if row.number in wanted)
    tests = sorted({test_of(named) for row in tally.rows for named in row.named})
    status = pytest.main(["-q", "-m", given.marked, *tests], plugins=[tally])
    sys.stdout.write("\n".join(tally.table()) + "\n")
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
