"""What the page shows of the classifiers: tiles explained, filters, what channels respond to."""

from collections.abc import Sequence
from pathlib import Path

from workflow.lib.jobs.units import manifest
from workflow.lib.report.pages import embed_pictures
from workflow.lib.report.pictures import read_picture, shrink

WIDE_PX = 1340  # px; as wide as the page
PICTURES = {
    "filters.png": "filters of the first layer; grey is a weight of 0",
    "activations.png": "tiles that channels of the last feature map respond to most",
}


def describe_explanations(explanations: Sequence[Path]) -> list[dict]:
    """Fold by fold, from the indices of their explanations: its number and its pictures."""
    return [_fold(index.with_suffix("")) for index in explanations]


def _fold(unit: Path) -> dict:
    classes = manifest(unit)["facts"]["classes"]
    titles = {f"class{of}.png": f"called {name}" for of, name in enumerate(classes)} | PICTURES
    fold = unit.name.removeprefix("fold")
    pictures = embed_pictures(
        (f"Fold {fold}: {title}", shrink(read_picture(unit / name), max_width_px=WIDE_PX))
        for name, title in titles.items()
    )
    return {"fold": fold, "pictures": pictures}
