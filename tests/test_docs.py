"""The pages lead where they say, name tests that there are, and know every rule."""

import ast
import functools
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
STAGES = sorted((ROOT / "docs/stages").glob("[a-z]*.md"))
PARTS = ["Reads and writes", "Settings", "Alone", "When it goes wrong", "What it costs"]
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


def rules():
    return {
        name
        for file in (ROOT / "workflow/rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", file.read_text(), re.MULTILINE)
    }


def rows(page: Path, title: str) -> list[list[str]]:
    """The cells of the table under a heading of a page, without its head."""
    section = page.read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\|(.+)\|$", section, re.MULTILINE)[2:]
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


@functools.cache
def words_of_the_code() -> str:
    """Every literal of the workflow that people may read, one a line."""
    files = [*(ROOT / "workflow").rglob("*.py"), *(ROOT / "workflow/rules").glob("*.smk")]
    trees = (ast.parse(file.read_text()) for file in files if file.suffix == ".py")
    literals = {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return "\n".join(" ".join(text.split()) for text in literals)


def test_the_index_of_the_stages_names_every_rule_and_page():
    index = (ROOT / "docs/stages/README.md").read_text()
    named = set(re.findall(r"`(\w+)`", index))
    assert len(rules()) > 40
    assert not rules() - named
    assert {page.name for page in STAGES} == set(re.findall(r"^\| \[\w+\]\((\w+\.md)", index, re.M))


@pytest.mark.parametrize("page", STAGES, ids=lambda page: page.stem)
def test_a_page_of_a_stage_has_all_its_parts(page):
    titles = re.findall(r"^## (.+)$", page.read_text(), re.MULTILINE)
    assert titles == PARTS


@pytest.mark.parametrize("page", STAGES, ids=lambda page: page.stem)
def test_settings_on_the_page_of_a_stage_are_there_with_that_default(page):
    config = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    found = rows(page, "Settings")
    assert found
    for setting, default, _ in found:
        value = config
        for key in setting.strip("`").split("."):
            value = value[key]
        assert value == yaml.safe_load(default.strip("`")), setting


@pytest.mark.parametrize("page", STAGES, ids=lambda page: page.stem)
def test_what_the_page_of_a_stage_quotes_is_said_by_the_code(page):
    """Codes are those of errors.md; a quotation of several words is a literal of the workflow."""
    text = page.read_text()
    known = (ROOT / "docs/errors.md").read_text()
    assert not [code for code in re.findall(r"\bE_[A-Z_]+", text) if f"`{code}`" not in known]
    said = words_of_the_code()
    for symptom, *_ in rows(page, "When it goes wrong"):
        for quoted in re.findall(r"`([^`]+)`", symptom):
            if len(quoted.split()) > 2 and not re.search(r"\d", quoted):
                assert quoted in said, quoted


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
