"""The pages lead where they say, name tests that there are, and know every rule."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
CODE = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
NAMED = [
    (page.name, file, test)
    for page in sorted((ROOT / "docs").rglob("*.md"))
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text())
]


def anchors(page: Path) -> set[str]:
    """Headings of a page as GitHub names them in an address."""
    titles = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text()), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return {word.replace(" ", "-") for word in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in LINK.findall(CODE.sub("", page.read_text())):
        if "://" in target:
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{page.name} leads to {target}, which is not there"
        if anchor:
            assert anchor in anchors(file), f"{page.name}: {target} has no heading {anchor}"


def test_the_page_of_the_stages_names_every_rule():
    rules = {
        name
        for file in (ROOT / "workflow/rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(\w+)`", (ROOT / "docs/stages.md").read_text()))
    assert len(rules) > 40
    assert not rules - named


def test_the_list_of_pages_is_whole():
    listed = (ROOT / "docs/README.md").read_text()
    assert not [page.name for page in (ROOT / "docs").glob("[a-z]*.md") if page.name not in listed]


def test_pages_name_tests():
    assert {"faults.md", "security.md"} <= {page for page, _, _ in NAMED} and len(NAMED) > 100


@pytest.mark.parametrize(("page", "file", "test"), NAMED)
def test_a_test_that_a_page_names_is_there(page, file, test):
    code = ast.parse((ROOT / file).read_text())
    functions = {node.name for node in code.body if isinstance(node, ast.FunctionDef)}
    assert test in functions, f"docs/{page} names it"
