"""Tables and sentences on clusters, from the rows of metrics and of enrichment."""

import pytest

from workflow.lib.clusters.cluster_questions import ENRICHMENT
from workflow.lib.jobs.tables import METRICS
from workflow.lib.report.cluster_tables import (
    SHOWN,
    enrichment_table,
    origin_sentences,
    probe_table,
)


def held(cluster, of, name, log2, low="", high="", *, fold="0", share="0.5", expected="0.25"):
    cells = (
        fold,
        str(cluster),
        of,
        name,
        "3",
        "2",
        share,
        expected,
        str(log2),
        str(low),
        str(high),
    )
    return dict(zip(ENRICHMENT, cells, strict=True))


def measured(metric, value, method, *, level="tile", fold="all", low="", high=""):
    cells = (fold, "test", level, method, metric, str(value), str(low), str(high), "5", "0")
    return dict(zip(METRICS, cells, strict=True))


@pytest.mark.parametrize(
    ("log2", "low", "high", "text", "shade", "sure"),
    [
        (1.04, 0.5, 1.5, "+1.0", "up2", True),
        (-0.98, -2, 0.25, "−1.0", "down2", False),
        (0.5, "", "", "+0.5", "up1", False),
        (-0.44, -1, -0.1, "−0.4", "", True),
        (-0.01, -1, 1, "0.0", "", False),
        (5, 2, 9, "+5.0", "up3", True),
        ("", "", "", "", "", False),
    ],
)
def test_a_cell_says_how_much_and_how_sure(log2, low, high, text, shade, sure):
    table = enrichment_table([held(0, "label", "a", log2, low, high)], "0")
    (cell,) = table["rows"][0]["cells"]
    assert (cell["text"], cell["shade"], cell["sure"]) == (text, shade, sure)


def test_intervals_are_written_with_a_real_minus():
    table = enrichment_table([held(0, "label", "a", -1, -2, 0.25)], "0")
    assert table["rows"][0]["cells"][0]["interval"] == "[−2.0, 0.2]"


def test_labels_come_before_sites_and_missing_cells_are_empty():
    rows = [
        held(0, "site", "north", 1),
        held(1, "label", "b", 1),
        held(0, "label", "a", 2),
        held(0, "label", "a", 9, fold="1"),
    ]
    table = enrichment_table(rows, "0")
    assert table["columns"] == ["label a", "label b", "site north"]
    assert [row["cluster"] for row in table["rows"]] == [0, 1]
    texts = [[cell["text"] for cell in row["cells"]] for row in table["rows"]]
    assert texts == [["+2.0", "", "+1.0"], ["", "+1.0", ""]]
    assert not table["patients"] and table["more"] == 0


def test_the_patient_with_most_of_a_cluster_is_named():
    rows = [
        held(0, "patient", "p1", 1, share="0.2"),
        held(0, "patient", "p2", 1, share="0.7", expected="0.1"),
        held(0, "patient", "p3", 1, share=""),
    ]
    table = enrichment_table(rows, "0")
    assert table["patients"] and table["columns"] == []
    assert table["rows"][0]["patient"] == "p2 70% (of all tiles 10%)"


def test_a_long_table_ends_and_says_so():
    table = enrichment_table([held(c, "label", "a", 1) for c in range(SHOWN + 3)], "0")
    assert len(table["rows"]) == SHOWN and table["more"] == 3
    assert enrichment_table([], "0")["rows"] == []


def test_origins_are_said_with_chance_beside():
    rows = [
        measured("site_accuracy", 0.75, "dcec", low=0.5, high=1),
        measured("site_chance", 0.5, "dcec"),
        measured("patient_accuracy", 0.3, "dcec", fold="0"),
        measured("patient_accuracy", 0.9, "kmeans"),
    ]
    assert origin_sentences(rows, "dcec") == [
        "A slide's site is guessed from its clusters alone for 0.75 [0.50, 1.00] of the slides "
        "(mean over sites; by chance 0.50)."
    ]
    assert origin_sentences([], "dcec") == []
    assert origin_sentences([measured("site_accuracy", "", "dcec")], "dcec") == []


def test_probes_by_level_and_layer():
    deep = "layer2 (stride 8)"
    rows = [
        measured("auroc", 0.9, f"probe dcec {deep}", level="image"),
        measured("auroc", 0.6, "probe dcec conv1", low=0.5, high=0.7),
        measured("auroc", 0.55, "probe random conv1"),
        measured("auroc_min", 0.5, "probe random conv1"),
        measured("auroc_max", 0.625, "probe random conv1"),
        measured("auroc", 0.8, f"probe dcec {deep}"),
        measured("auroc", 0.7, f"probe start {deep}"),
        measured("auroc_gain", 0.1, f"probe dcec over start {deep}", low=-0.1, high=0.3),
        measured("auroc", 0.1, "probe dcec conv1", fold="0"),
        measured("auroc", 0.99, "classifier (mean)"),
    ]
    table = probe_table(rows, "dcec")
    assert [(row["level"], row["layer"]) for row in table] == [
        ("tiles", "conv1"),
        ("tiles", deep),
        ("slides", deep),
    ]
    first, second, third = table
    assert (first["trained"], first["start"], first["random"]) == ("0.60 [0.50, 0.70]", "", "0.55")
    assert first["seeds"] == "0.50 to 0.62" and first["gains"] == []
    assert (second["start"], second["seeds"]) == ("0.70", "")
    assert second["gains"] == ["0.10 [-0.10, 0.30] over start"]
    assert third["trained"] == "0.90" and third["random"] == ""
    assert probe_table(rows[-1:], "dcec") == []
