"""Pages that say which test shows something: the test is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMED = [
    (page.name, file, test)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())
]


def test_pages_name_tests():
    assert {"faults.md", "security.md"} <= {page for page, _, _ in NAMED} and len(NAMED) > 100


@pytest.mark.parametrize(("page", "file", "test"), NAMED)
def test_a_test_that_a_page_names_is_there(page, file, test):
    code = ast.parse((ROOT / file).read_text())
    functions = {node.name for node in code.body if isinstance(node, ast.FunctionDef)}
    assert test in functions, f"docs/{page} names it"
