"""Snakemake's own report: tables with captions, and no word of the sheet that becomes markup."""

import json
import re

import pytest

from tests.workflow.study import ROOT, Study

EVIL = "</script><script>alert(1)</script>"
TABLES = ("verdicts.tsv", "splits.tsv")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of a study up to its splits; a patient is called as no patient should be."""
    study = Study.make(tmp_path_factory.mktemp("captions"))
    study.sheet.write_text(study.sheet.read_text().replace("\tp01\t", f"\t{EVIL}\t"))
    targets = [f"results/small/{table}" for table in TABLES]
    study.run("--", *targets)
    study.run("--report", "page.html", "--", *targets)
    assert EVIL in (study.results / "splits.tsv").read_text()
    return (study.folder / "page.html").read_text()


def test_tables_have_captions_and_labels(page):
    results = json.loads(re.search(r'<script id="results">\s*var results = (.*);\n', page)[1])
    found = {result["name"]: result for result in results.values()}
    assert set(found) == set(TABLES)
    assert "Each slide with its verdict" in found["verdicts.tsv"]["caption"]
    assert found["splits.tsv"]["labels"] == {"table": "splits"}


def test_words_of_the_sheet_stay_words(page):
    assert "alert(1)" in page  # in the recipe of the splits
    assert EVIL not in page and "<script>alert" not in page


def test_every_caption_is_used_and_every_table_that_is_shown_has_one():
    text = "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    named = re.findall(r'caption="\.\./report/captions/(\w+)\.rst"', text)
    files = {file.stem for file in (ROOT / "workflow/report/captions").glob("*.rst")}
    assert sorted(named) == sorted(files) and len(named) == text.count("=report(")
