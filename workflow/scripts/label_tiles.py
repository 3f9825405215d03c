"""Say what each tile of a slide is learnt as, by the evidence of the fold's aggregator."""

import logging
from pathlib import Path

from workflow.lib.cohort.folds import in_fold
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.tiles.stores import Tiles, open_group
from workflow.lib.tiles.tile_labels import label_by_evidence, write_labels

log = logging.getLogger(__name__)


def label_tiles(
    tiles: Path,
    splits: Path,
    bag_scores: Path,
    tile_labels: Path,
    *,
    shard: Shard,
    fold: int,
    classes: list[str],
    negative: str | None,
    top_share: float,
    bottom_share: float,
) -> None:
    """Write a class for every tile of the training and validation slides, -1 to learn nothing from.

    The test slides get none: an aggregator is no truth to measure a classifier against.
    """
    none = classes.index(negative) if negative else None

    def work(slide: Slide, folder: Path) -> dict:
        store = Tiles(tiles.parent / slide.slide / "tiles.zarr")
        group = open_group(bag_scores.parent / slide.slide / "bag_scores.zarr")
        if (group.attrs["classes"], group.attrs["fold"]) != (classes, fold):
            raise ValueError(
                f"{slide.slide} has bag scores of fold {group.attrs['fold']} for "
                f"{group.attrs['classes']}, but fold {fold} and {classes} are expected: score its "
                "bag again"
            )
        labels = label_by_evidence(
            group["evidence"][:],
            ~store.bad,
            label=classes.index(slide.label),
            negative=none,
            top_share=top_share,
            bottom_share=bottom_share,
        )
        counted = write_labels(folder, labels, classes)
        said = ", ".join(f"{count} {name}" for name, count in counted.items())
        log.info("%s (%s): of %d tiles %s.", slide.slide, slide.label, len(store), said)
        return {"tiles": len(store), "labelled": counted}

    only = set(in_fold(read_table(splits), fold, "train", "val"))
    made_of = [tiles.parent, splits, bag_scores.parent]
    visit(tile_labels, shard, work, upstream=made_of, only=only)


if __name__ == "__main__":
    run(label_tiles, globals().get("snakemake"))
