"""What the page says of the networks that were trained: how they learnt, which epoch was kept."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from workflow.lib.jobs.names import METHODS
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.report.charts import training_chart
from workflow.lib.report.provenance import list_choices, list_warnings

KINDS = {"aggregators": "Bags of tiles", "classifiers": "Classifier"} | METHODS


def name_models(learnt: Sequence[Path]) -> dict[str, Path]:
    """Name -> folder, from indices: "Classifier, fold 0" for classifiers/fold0.json."""
    return {
        f"{KINDS.get(index.parent.name, index.parent.name)}, "
        f"{index.stem.replace('fold', 'fold ')}": index.with_suffix("")
        for index in learnt
    }


def describe_training(models: Mapping[str, Path]) -> dict:
    """The section on training, as the template reads it: charts, choices, warnings."""
    made = {name: manifest(folder) for name, folder in models.items()}
    return {
        "charts": [
            training_chart(
                name, read_table(models[name] / "curves.tsv"), unit["facts"]["best_epoch"]
            )
            for name, unit in made.items()
            if "best_epoch" in unit["facts"]
        ],
        "choices": list_choices(made),
        "warnings": list_warnings(made),
    }
