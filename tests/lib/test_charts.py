"""Charts: which points of the tables become lines, and what is left out."""

import base64

from workflow.lib.charts import (
    label_charts,
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
