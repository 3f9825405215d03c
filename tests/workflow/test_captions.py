"""Snakemake's own report: tables with captions, and no word of the sheet that becomes markup."""

import json
import re
import zipfile

import pytest

from tests.workflow.study import ROOT, Study

EVIL = "</script><script>alert(1)</script>"
TABLES = ("verdicts.tsv", "splits.tsv")
SHOWN = ("classifier", "clusters", "masks_none", "masks_negev", "methods")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study up to its splits; a patient is called as no patient should be."""
    study = Study.make(tmp_path_factory.mktemp("captions"))
    study.sheet.write_text(study.sheet.read_text().replace("\tp01\t", f"\t{EVIL}\t"))
    study.run("--", *(f"results/small/{table}" for table in TABLES))
    assert EVIL in (study.results / "splits.tsv").read_text()
    return study


@pytest.fixture(scope="module")
def page(study):
    """Its report as one file."""
    study.run("--report", "page.html", "--", *(f"results/small/{table}" for table in TABLES))
    return (study.folder / "page.html").read_text()


def results(page):
    """What a report shows, by its name."""
    found = json.loads(re.search(r'<script id="results">\s*var results = (.*);\n', page)[1])
    return {result["name"]: result for result in found.values()}


def test_tables_have_captions_and_labels(page):
    found = results(page)
    assert set(found) == set(TABLES)
    assert "Each slide with its verdict" in found["verdicts.tsv"]["caption"]
    assert found["splits.tsv"]["labels"] == {"table": "splits"}


def test_words_of_the_sheet_stay_words(page):
    assert "alert(1)" in page  # in the recipe of the splits
    assert EVIL not in page and "<script>alert" not in page


def test_a_zip_holds_the_page_of_the_study_beside_the_tables(study):
    """Whole, as a file: in a page of one file it is a data URI, which Chromium shows up to 2 MB.

    The study is not run to its end for this: what Snakemake would show of it is written by hand.
    """
    made = {"metrics", "audit", *(f"evaluation/{name}" for name in SHOWN)}
    for file in [study.results / f"{name}.tsv" for name in made]:
        file.parent.mkdir(exist_ok=True)
        file.write_text("a table\n")
    whole = "<!doctype html>" + "<p>The page of the study.</p>" * 100_000  # 2.9 MB
    (study.results / "report.html").write_text(whole)
    study.run("--report", "page.zip")
    with zipfile.ZipFile(study.folder / "page.zip") as archive:
        names = archive.namelist()
        [index] = [name for name in names if name.endswith("report.html") and "data" not in name]
        found = results(archive.read(index).decode())
        assert sorted(found) == sorted(
            [*TABLES, "report.html", *(f"{name.split('/')[-1]}.tsv" for name in made)]
        )
        assert "a zip file" in found["report.html"]["caption"]
        assert found["report.html"]["labels"] == {"table": "report"}
        [file] = [name for name in names if name.endswith("report.html") and "data" in name]
        assert archive.read(file).decode() == whole


def test_every_caption_is_used_and_every_table_that_is_shown_has_one():
    text = "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    named = re.findall(r'caption="\.\./report/captions/(\w+)\.rst"', text)
    files = {file.stem for file in (ROOT / "workflow/report/captions").glob("*.rst")}
    assert sorted(named) == sorted(files) and len(named) == text.count("=report(")
