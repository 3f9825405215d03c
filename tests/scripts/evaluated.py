"""The study of outcome.py as evaluate_masks scores it."""

from tests.scripts import outcome
from workflow.lib.jobs.tables import read_table
from workflow.scripts.evaluate_masks import evaluate_masks


def evaluate(study, method="negev", **changes):
    """Rows of metrics by fold and metric, and the rows of slides."""
    index = {name: [study / name / "all.json"] for name in ("tiles", "checks")}
    given = {
        "heatmaps": [study / "heatmaps" / method / "all.json"],
        "refined": [study / "refined" / method / f"fold{fold}" / "all.json" for fold in (0, 1)],
        "classifiers": [study / "classifiers" / f"fold{fold}.json" for fold in (0, 1)],
        "splits": study / "splits.tsv",
        "evaluation": study / "masks.tsv",
        "slides": study / "slides.tsv",
        "curves": study / "curves.tsv",
        "thresholds": study / "thresholds.tsv",
        "shard": outcome.shard("evaluate_masks", study),
        "method": method,
        "masks": None,
        "negative": None,
        "window": "hann",
        "seed": 0,
        "bootstrap": 200,
    }
    evaluate_masks(**(index | given | changes))
    rows = read_table(study / "masks.tsv")
    return {(row["fold"], row["metric"]): row for row in rows}, read_table(study / "slides.tsv")


def value(rows, fold, metric):
    return float(rows[fold, metric]["value"])
