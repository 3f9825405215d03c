"""Charts of how clusters were learnt: what was measured, and the round that was kept."""

import base64

from workflow.lib.cluster_charts import learning_charts

COLUMNS = ("epoch", "loss", "kmeans_loss", "nmi", "churn", "probe")
ROWS = [
    dict(zip(COLUMNS, row, strict=True))
    for row in (
        ("1", "3", "0.5", "", "", "0.6"),
        ("2", "2", "0.25", "0.5", "0.4", "0.7"),
        ("3", "1", "0.2", "0.9", "0.1", "0.6"),
    )
]


def drawn(chart):
    return base64.b64decode(chart["source"].split(",")[1]).decode()


def test_a_chart_for_each_kind_of_number():
    charts = learning_charts(ROWS, 2, step="round")
    assert [chart["title"].split(",")[0] for chart in charts] == [
        "what the network minimises",
        "squared distance of a tile to its centroid",
        "clusters against those before: NMI",
        "linear probe",
    ]
    loss, kmeans, before, probe = map(drawn, charts)
    assert all(">round</text>" in chart for chart in (loss, kmeans, before, probe))
    assert ">NMI</text>" in before and ">churn</text>" in before
    assert ">chance</text>" in probe and ">chance</text>" not in loss


def test_what_was_not_measured_has_no_chart():
    rows = [row | {"probe": "", "nmi": "", "churn": ""} for row in ROWS]
    assert len(learning_charts(rows, 1, step="epoch")) == 2
    assert learning_charts([], 1, step="epoch") == []
    assert learning_charts([{"epoch": "1", "loss": ""}], 1, step="epoch") == []


def test_the_round_that_was_kept_is_marked():
    """NMI begins with round 2, so that no point of it can be marked where round 1 was kept."""
    first, second = (
        [drawn(chart) for chart in learning_charts(ROWS, kept, step="round")[::2]]
        for kept in (1, 2)
    )
    (never,) = (drawn(c) for c in learning_charts(ROWS, 99, step="round")[2:3])
    assert first[0] != second[0]
    assert first[1] == never != second[1]
