"""docs/faults.md names a test for every fault, and what it says of the project as a whole is so."""

import ast
import re
import tomllib
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
def test_what_shows_a_fault_is_there(row):
    named = re.findall(r"`(tests/[^`]+)`", row[3])
    assert named, "no test is named"
    for name in named:
        file, _, test = name.partition("::")
        if test:
            code = ast.parse((ROOT / file).read_text())
            assert test in {node.name for node in code.body if isinstance(node, ast.FunctionDef)}
        else:
            cases = yaml.safe_load((ROOT / file).read_text())
            codes = {case["code"] for case in cases if case["row"] == int(row[0])}
            assert codes, f"{file} has no case of this row"
            if named == [file]:
                assert codes >= set(re.findall(r"E_\w+", row[2]))


def test_no_rule_has_a_shell_command():
    rules = [ROOT / "Snakefile", *(ROOT / "workflow/rules").glob("*.smk")]
    assert len(rules) > 5
    for file in rules:
        assert not re.search(r"^\s*shell:|\bshell\(", file.read_text(), re.MULTILINE), file.name


def test_profiles_are_safe():
    profiles = {
        name: yaml.safe_load((ROOT / f"workflow/profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    }
    for profile in profiles.values():
        assert profile["rerun-incomplete"] and profile["keep-going"]
        assert not {"keep-incomplete", "nolock", "ignore-incomplete"} & set(profile)
    assert profiles["slurm"]["latency-wait"] >= 60 and profiles["slurm"]["retries"] >= 1


def test_lint_looks_for_what_executes_text():
    lint = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "S" in lint["select"] and not [rule for rule in lint["ignore"] if rule[0] == "S"]
    dangerous = {"S102", "S301", "S302", "S307", "S506", "S602", "S604", "S605", "S202"}
    waived = lint["per-file-ignores"].values()
    assert not any(rule in dangerous for rules in waived for rule in rules)
    for file in (ROOT / "workflow").rglob("*.py"):
        assert not dangerous & set(re.findall(r"\bS\d{3}\b", file.read_text())), file.name


def test_nothing_is_unpacked():
    for file in (ROOT / "workflow").rglob("*.py"):
        code = ast.parse(file.read_text())
        imported = {a.name for n in ast.walk(code) if isinstance(n, ast.Import) for a in n.names}
        imported |= {n.module for n in ast.walk(code) if isinstance(n, ast.ImportFrom)}
        assert not imported & {"zipfile", "tarfile", "zarr.storage"}, file.name
        assert "unpack_archive" not in file.read_text() and "ZipStore" not in file.read_text()
