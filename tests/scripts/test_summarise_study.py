import itertools
from pathlib import Path

import pytest
import yaml

from tests.scripts.audited import FOLDS
from tests.scripts.outcome import SLIDES
from workflow.lib.jobs.tables import METRICS, metric_row, read_table, write_table
from workflow.lib.measures.pixel_tables import CHOICES
from workflow.scripts.summarise_study import summarise_study

CASES = Path(__file__).parents[1] / "cases/audit/thresholds.yaml"


def table(path, *rows):
    write_table(path, METRICS, rows)
    return path


def row(metric, fold, level="pixel", method="negev", value=0.5):
    return metric_row(metric, value, (0.4, 0.6), fold=fold, level=level, method=method, n=3)


def summarise(tables, metrics, *, thresholds=None, permute=False, place=None):
    """Summarise tables of the study of outcome.py; `place` changes a row of its splits."""
    rows = [
        {"fold": f, "slide": s, "patient": patient, "label": label, "split": splits[f]}
        | (place if place and place["slide"] == s else {})
        for f in FOLDS
        for s, (patient, label, *splits) in SLIDES.items()
    ]
    write_table(metrics.with_name("splits.tsv"), rows[0], rows)
    summarise_study(tables, thresholds, metrics.with_name("splits.tsv"), metrics, permute=permute)


def choices(path, *rows):
    known = {"method": "negev", "threshold": 0.5}
    write_table(path, CHOICES, [known | r | {"chosen_on": " ".join(r["chosen_on"])} for r in rows])
    return path


def test_rows_are_sorted_whatever_the_order_of_the_tables(tmp_path):
    tables = [
        table(tmp_path / "b.tsv", row("pxap", "all"), row("pxap", "10"), row("pxap", "2")),
        table(tmp_path / "a.tsv", row("nmi", "0", "tile", "kmeans")),
        table(tmp_path / "empty.tsv"),
    ]
    written = set()
    for order in itertools.permutations(tables):
        summarise(list(order), tmp_path / "metrics.tsv")
        written.add((tmp_path / "metrics.tsv").read_bytes())
    assert len(written) == 1
    found = [(r["level"], r["fold"]) for r in read_table(tmp_path / "metrics.tsv")]
    assert found == [("pixel", "2"), ("pixel", "10"), ("pixel", "all"), ("tile", "0")]


def test_numbers_and_empty_cells_are_copied_as_they_are(tmp_path):
    rows = [row("auroc", "0", value=float("nan")), row("pxap", "0", value=1 / 3)]
    summarise([table(tmp_path / "a.tsv", *rows)], tmp_path / "metrics.tsv")
    assert (tmp_path / "metrics.tsv").read_text() == (tmp_path / "a.tsv").read_text()


def test_a_number_given_twice_is_an_error(tmp_path):
    tables = [table(tmp_path / f"{name}.tsv", row("pxap", "0")) for name in "ab"]
    with pytest.raises(ValueError, match=r"b\.tsv gives 0 test pixel negev pxap a second time"):
        summarise(tables, tmp_path / "metrics.tsv")


def test_a_table_of_something_else_is_an_error(tmp_path):
    write_table(tmp_path / "a.tsv", ["slide"], [{"slide": "a"}])
    with pytest.raises(ValueError, match="a.tsv has columns"):
        summarise([tmp_path / "a.tsv"], tmp_path / "metrics.tsv")


def test_a_study_without_numbers_has_an_empty_table(tmp_path):
    summarise([table(tmp_path / "a.tsv")], tmp_path / "metrics.tsv")
    assert read_table(tmp_path / "metrics.tsv") == []


def test_numbers_of_permuted_labels_say_so_in_every_row(tmp_path, caplog):
    tables = [
        table(tmp_path / "a.tsv", row("pxap", "0"), row("auroc", "all", "tile", "classifier"))
    ]
    with caplog.at_level("WARNING"):
        summarise(tables, tmp_path / "metrics.tsv", permute=True)
    methods = {row["method"] for row in read_table(tmp_path / "metrics.tsv")}
    assert methods == {"negev, permuted labels", "classifier, permuted labels"}
    assert "no number of this study is a finding" in caplog.text


def test_thresholds_of_validation_slides_pass_and_are_counted(tmp_path, caplog):
    chosen = [
        {"fold": fold, "rule": rule, "chosen_on": [slide]}
        for fold, slide in ((0, "d"), (1, "b"))
        for rule in ("otsu_val", "best_val")
    ]
    thresholds = [choices(tmp_path / "thresholds.tsv", *chosen)]
    with caplog.at_level("INFO"):
        summarise([table(tmp_path / "a.tsv")], tmp_path / "metrics.tsv", thresholds=thresholds)
    assert "No threshold was chosen on a patient that its fold tests." in caplog.text
    assert (tmp_path / "metrics.tsv").exists()


@pytest.mark.parametrize(
    "case", yaml.safe_load(CASES.read_text()), ids=lambda case: case["leak"].replace(" ", "_")
)
def test_a_threshold_that_crosses_a_fold_leaves_no_numbers(tmp_path, case):
    right = {"fold": 0, "rule": "best_val", "chosen_on": ["d"]}
    place = case.get("place")
    planted = [case["chosen"]] if place else [right, case["chosen"]]
    given = {"thresholds": [choices(tmp_path / "thresholds.tsv", *planted)], "place": place}
    with pytest.raises(ValueError, match="E_LEAK: This study leaks") as error:
        summarise([table(tmp_path / "a.tsv")], tmp_path / "metrics.tsv", **given)
    told = str(error.value).split("\nWhat to do:")[0].splitlines()[1:]
    assert [line.strip() for line in told] == case["says"]
    assert not (tmp_path / "metrics.tsv").exists()
