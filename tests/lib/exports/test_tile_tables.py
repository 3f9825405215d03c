"""Tables of tiles: every value by hand, the same columns everywhere, nothing for a spreadsheet."""

import pyarrow.parquet as pq
import pytest

from tests.lib.exports.tabled import NOTHING, empty, table
from workflow.lib.exports.tile_tables import write_parquet, write_tsv
from workflow.lib.jobs.tables import read_table


def test_a_row_by_hand():
    row = table(site="north").to_pylist()[2]
    shares = {name: row.pop(name) for name in ("mean_negev", "probability_tumour")}
    assert shares == pytest.approx({"mean_negev": 0.123456, "probability_tumour": 0.746})
    assert row == {
        "slide": "a",
        "patient": "p1",
        "label": "tumour",
        "site": "north",
        "tile_id": 2,
        "y_px0": 10,
        "x_px0": 95,
        "side_px0": 10.0,
        "mpp": 0.5,
        "tissue": 0.25,
        "blur": 9.0,
        "bad": False,
        "fold": 1,
        "split_fold0": "train",
        "split_fold1": "test",
        "cluster": 1,
        "cluster_fold": 1,
        "probability_normal": pytest.approx(0.254),
    }


def test_nothing_is_said_of_a_tile_that_could_not_be_read():
    row = table().to_pylist()[1]
    said = ("cluster", "cluster_fold", "probability_normal", "probability_tumour", "mean_negev")
    assert {row[name] for name in said} == {None}
    assert (row["bad"], row["fold"], row["tissue"]) == (True, 1, 0.5)


def test_every_slide_has_the_same_columns():
    schemas = {str(made.schema) for made in (table(), table(found=NOTHING, fold=None), empty())}
    assert len(schemas) == 1


def test_parquet_keeps_all_slides_in_order(tmp_path):
    tables = [table("a"), empty(), table("b", found=NOTHING, label=None, fold=None)]
    write_parquet(tmp_path / "t.parquet", tables)
    read = pq.read_table(tmp_path / "t.parquet")
    assert read["slide"].to_pylist() == ["a"] * 3 + ["b"] * 3
    assert read["fold"].to_pylist() == [1, 1, 1, None, None, None]
    assert read.slice(0, 3).equals(tables[0])
    write_parquet(tmp_path / "again.parquet", tables)
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "t.parquet").read_bytes()


def test_text_is_safe_in_a_spreadsheet_and_comes_back(tmp_path):
    made = table(site="=cmd|' /C calc'!A0", label="-1+1", found=NOTHING)
    write_tsv(tmp_path / "t.tsv", made.column_names, [made])
    line = (tmp_path / "t.tsv").read_text().splitlines()[1].split("\t")
    assert line[2:4] == ["'-1+1", "'=cmd|' /C calc'!A0"]
    rows = read_table(tmp_path / "t.tsv")
    assert len(rows) == 3
    assert (rows[0]["site"], rows[0]["label"]) == ("=cmd|' /C calc'!A0", "-1+1")
    assert (rows[0]["cluster"], rows[2]["x_px0"], rows[1]["bad"]) == ("", "95", "True")


def test_a_study_without_a_tile_has_its_columns(tmp_path):
    write_parquet(tmp_path / "t.parquet", [empty()])
    assert pq.read_table(tmp_path / "t.parquet").num_rows == 0
    write_tsv(tmp_path / "t.tsv", empty().column_names, [empty()])
    assert (tmp_path / "t.tsv").read_text().count("\n") == 1
