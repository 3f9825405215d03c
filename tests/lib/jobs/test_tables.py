import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow.lib.jobs.tables import METRICS, cell, metric_row, read_table, write_table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "-1"),  # a number that was read as text and is written again
        ("-1.5e-07", "-1.5e-07"),
        ("-1+cmd()", "'-1+cmd()"),
        ("'-1", "''-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'=1"),
        ("'=1", "''=1"),
        ("'tis", "'tis"),
        ("two\nlines", "two lines"),
        ("tumour (G2)", "tumour (G2)"),
        (-0.25, "-0.25"),
        (-3, "-3"),
        (np.float64(1 / 3), "0.333333"),
        (np.int64(12345678), "12345678"),
        (math.nan, ""),
        (math.inf, ""),
        (None, ""),
    ],
)
def test_cells_are_safe_to_open(value, text):
    assert cell(value) == text


def test_a_table_comes_back_as_text(tmp_path):
    path = tmp_path / "table.tsv"
    write_table(
        path, ["slide", "value"], [{"slide": '001 "x"', "value": 0.5}, {"value": 1, "slide": ""}]
    )
    assert read_table(path) == [
        {"slide": '001 "x"', "value": "0.5"},
        {"slide": "", "value": "1"},
    ]
    write_table(path, ["slide", "value"], [])
    assert path.read_text() == "slide\tvalue\n" and read_table(path) == []


def test_rows_with_other_columns_are_refused(tmp_path):
    with pytest.raises(ValueError, match="other"):
        write_table(tmp_path / "table.tsv", ["slide"], [{"slide": "a", "other": 1}])


def test_an_undefined_metric_has_no_interval():
    row = metric_row("auroc", math.nan, (0.1, 0.9), fold="0", level="tile", method="m", n=3)
    assert tuple(row) == METRICS
    assert [cell(row[name]) for name in ("value", "ci_low", "ci_high", "n")] == ["", "", "", "3"]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])))
def test_text_survives_the_guard(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("tables") / "table.tsv"
    write_table(path, ["label", "next"], [{"label": text, "next": "+"}])
    assert read_table(path) == [{"label": text, "next": "+"}]
