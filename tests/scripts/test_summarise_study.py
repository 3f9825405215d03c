import itertools

import pytest

from workflow.lib.jobs.tables import METRICS, metric_row, read_table, write_table
from workflow.scripts.summarise_study import summarise_study


def table(path, *rows):
    write_table(path, METRICS, rows)
    return path


def row(metric, fold, level="pixel", method="negev", value=0.5):
    return metric_row(metric, value, (0.4, 0.6), fold=fold, level=level, method=method, n=3)


def test_rows_are_sorted_whatever_the_order_of_the_tables(tmp_path):
    tables = [
        table(tmp_path / "b.tsv", row("pxap", "all"), row("pxap", "10"), row("pxap", "2")),
        table(tmp_path / "a.tsv", row("nmi", "0", "tile", "kmeans")),
        table(tmp_path / "empty.tsv"),
    ]
    written = set()
    for order in itertools.permutations(tables):
        summarise_study(list(order), tmp_path / "metrics.tsv", permute=False)
        written.add((tmp_path / "metrics.tsv").read_bytes())
    assert len(written) == 1
    found = [(r["level"], r["fold"]) for r in read_table(tmp_path / "metrics.tsv")]
    assert found == [("pixel", "2"), ("pixel", "10"), ("pixel", "all"), ("tile", "0")]


def test_numbers_and_empty_cells_are_copied_as_they_are(tmp_path):
    rows = [row("auroc", "0", value=float("nan")), row("pxap", "0", value=1 / 3)]
    summarise_study([table(tmp_path / "a.tsv", *rows)], tmp_path / "metrics.tsv", permute=False)
    assert (tmp_path / "metrics.tsv").read_text() == (tmp_path / "a.tsv").read_text()


def test_a_number_given_twice_is_an_error(tmp_path):
    tables = [table(tmp_path / f"{name}.tsv", row("pxap", "0")) for name in "ab"]
    with pytest.raises(ValueError, match=r"b\.tsv gives 0 test pixel negev pxap a second time"):
        summarise_study(tables, tmp_path / "metrics.tsv", permute=False)


def test_a_table_of_something_else_is_an_error(tmp_path):
    write_table(tmp_path / "a.tsv", ["slide"], [{"slide": "a"}])
    with pytest.raises(ValueError, match="a.tsv has columns"):
        summarise_study([tmp_path / "a.tsv"], tmp_path / "metrics.tsv", permute=False)


def test_a_study_without_numbers_has_an_empty_table(tmp_path):
    summarise_study([table(tmp_path / "a.tsv")], tmp_path / "metrics.tsv", permute=False)
    assert read_table(tmp_path / "metrics.tsv") == []


def test_numbers_of_permuted_labels_say_so_in_every_row(tmp_path, caplog):
    tables = [
        table(tmp_path / "a.tsv", row("pxap", "0"), row("auroc", "all", "tile", "classifier"))
    ]
    with caplog.at_level("WARNING"):
        summarise_study(tables, tmp_path / "metrics.tsv", permute=True)
    methods = {row["method"] for row in read_table(tmp_path / "metrics.tsv")}
    assert methods == {"negev, permuted labels", "classifier, permuted labels"}
    assert "no number of this study is a finding" in caplog.text
