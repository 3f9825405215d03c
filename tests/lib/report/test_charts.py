"""Charts: which points of the tables become lines, and what is left out."""

import base64

from workflow.lib.report.charts import (
    label_charts,
    learning_charts,
    loss_lines,
    marks_at,
    pixel_charts,
    pixel_lines,
    precision_lines,
    roc_lines,
    training_chart,
)


def point(fpr, recall, precision, fold="all", level="image"):
    cells = {"false_positive_rate": fpr, "recall": recall, "precision": precision}
    about = {"level": level, "fold": fold, "class": "tumour", "threshold": "0.5"}
    return about | {name: str(value) for name, value in cells.items()}


POINTS = [point(0, 0.5, 1), point(0, 0, 0.1, fold="0"), point(0.5, 1, 0.5), point("", 1, "")]
EPOCHS = [
    {"epoch": "1", "split": "train", "loss": "0.9", "auroc": "0.5"},
    {"epoch": "1", "split": "val", "loss": "0.8", "auroc": "0.625"},
    {"epoch": "2", "split": "train", "loss": "0.4", "auroc": "0.6"},
    {"epoch": "2", "split": "val", "loss": "", "auroc": ""},
]
COLUMNS = ("epoch", "loss", "kmeans_loss", "nmi", "churn", "probe")
LEARNT = [
    dict(zip(COLUMNS, row, strict=True))
    for row in (
        ("1", "3", "0.5", "", "", "0.6"),
        ("2", "2", "0.25", "0.5", "0.4", "0.7"),
        ("3", "1", "0.2", "0.9", "0.1", "0.6"),
    )
]
BY_ROUND = {"step": "round", "settings": {"stop": {"nmi": 0.95, "churn": 0.01, "rounds": 3}}}
BY_EPOCH = {"step": "epoch", "settings": {"tolerance": 0.001}}


def drawn(chart):
    return base64.b64decode(chart["source"].split(",")[1]).decode()


def test_a_roc_starts_where_nothing_is_called_positive():
    assert roc_lines(POINTS) == {"image: tumour": ([0, 0, 0.5], [0, 0.5, 1])}


def test_precision_holds_back_to_recall_0():
    assert precision_lines(POINTS) == {"image: tumour": ([0, 0.5, 1], [1, 1, 0.5])}


def test_only_defined_points_of_all_folds_are_drawn():
    rows = [
        {"fold": "all", "precision": "0.25", "recall": "1"},
        {"fold": "all", "precision": "0.75", "recall": "0.5"},
        {"fold": "all", "precision": "", "recall": "0"},
        {"fold": "0", "precision": "0.5", "recall": "0.5"},
    ]
    assert pixel_lines({"CAM": rows, "NEGEV": []}) == {"CAM": ([1, 0.5], [0.25, 0.75])}
    (chart,) = pixel_charts({"CAM": rows})
    assert ">CAM</text>" in drawn(chart) and ">chance</text>" in drawn(chart)


def test_without_points_there_is_no_chart():
    assert pixel_charts({"CAM": []}) == pixel_charts({}) == label_charts([], [], []) == []
    assert [chart["title"] for chart in label_charts([], [[1]], ["a"])] == [
        "Confusion of slides, all folds"
    ]


def test_charts_of_labels():
    titles = [chart["title"] for chart in label_charts(POINTS, [[1, 0], [0, 1]], ["a", "b"])]
    assert [title.split(",")[0] for title in titles] == [
        "ROC of tumour",
        "Precision and recall of tumour",
        "Confusion of slides",
    ]


def test_a_training_shows_losses_and_the_epoch_that_was_kept():
    lines = loss_lines(EPOCHS)
    assert lines == {"train": ([1, 2], [0.9, 0.4]), "val": ([1], [0.8])}
    assert marks_at(lines, 2) == {"train": (2, 0.4)}
    titles = [training_chart("Classifier, fold 0", EPOCHS, kept)["title"] for kept in (1, 2)]
    assert titles == ["Classifier, fold 0: AUROC 0.62 on validation tiles", "Classifier, fold 0"]


def test_a_training_without_auroc_is_drawn_too():
    rows = [{"epoch": "1", "split": "val", "loss": "0.8"}]
    assert training_chart("NEGEV, fold 0", rows, 1)["title"] == "NEGEV, fold 0"


def test_a_chart_for_each_kind_of_number():
    charts = learning_charts(LEARNT, 2, **BY_ROUND)
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
    rows = [row | {"probe": "", "nmi": "", "churn": ""} for row in LEARNT]
    assert len(learning_charts(rows, 1, **BY_EPOCH)) == 2
    assert learning_charts([], 1, **BY_EPOCH) == []
    assert learning_charts([{"epoch": "1", "loss": ""}], 1, **BY_EPOCH) == []


def test_the_round_that_was_kept_is_marked():
    """NMI begins with round 2, so that no point of it can be marked where round 1 was kept."""
    first, second = (
        [drawn(chart) for chart in learning_charts(LEARNT, kept, **BY_ROUND)[::2]]
        for kept in (1, 2)
    )
    (never,) = (drawn(c) for c in learning_charts(LEARNT, 99, **BY_ROUND)[2:3])
    assert first[0] != second[0]
    assert first[1] == never != second[1]


def test_limits_of_standing_still_are_drawn_beside_what_they_judge():
    rounds, epochs = (
        [drawn(chart) for chart in learning_charts(LEARNT, 1, **how)]
        for how in (BY_ROUND, BY_EPOCH)
    )
    for number, (chart, other) in enumerate(zip(rounds, epochs, strict=True)):
        judged = number == 2
        assert (">NMI limit</text>" in chart) == (">churn limit</text>" in chart) == judged
        assert (">tolerance</text>" in other) == judged
        assert ">NMI limit</text>" not in other and ">tolerance</text>" not in chart


def test_a_limit_is_where_the_setting_says():
    def with_limit(nmi):
        settings = {"stop": {"nmi": nmi, "churn": 0.01}}
        return drawn(learning_charts(LEARNT, 1, step="round", settings=settings)[2])

    assert with_limit(0.9) == with_limit(0.9) != with_limit(0.8)


def test_the_probe_before_the_first_round_is_drawn_where_it_was_measured():
    *others, probe = map(drawn, learning_charts(LEARNT, 1, **BY_ROUND, start_probe=0.62))
    assert ">start</text>" in probe and not any(">start</text>" in chart for chart in others)
    assert ">start</text>" not in drawn(learning_charts(LEARNT, 1, **BY_ROUND)[-1])
