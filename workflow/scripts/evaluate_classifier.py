"""Compare scores and predicted classes with labels, out of fold."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.jobs.job import run
from workflow.lib.jobs.names import BAGS
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import METRICS, read_table, write_table
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.measures.label_tables import CURVES, Scored, curve_rows, metric_rows
from workflow.lib.tiles.masked_slides import teachers
from workflow.lib.tiles.stores import open_group

log = logging.getLogger(__name__)


def evaluate_classifier(
    scores: list[Path],
    bag_scores: list[Path] | None,
    tile_labels: list[Path] | None,
    classifiers: list[Path],
    splits: Path,
    evaluation: Path,
    slides: Path,
    curves: Path,
    *,
    shard: Shard,
    classes: list[str],
    negative: str | None,
    level: str,
    pooling: str,
    seed: int,
    bootstrap: int,
    bags: str = "attention",
) -> None:
    """Score each test slide, and each of its tiles where somebody says what it shows.

    At level `image` that is the label of the image, at level `annotation` the slide's pixel mask
    (`tile_labels`), which also taught the classifier: every row of one of the `classifiers` says
    how many masks taught it or chose its epoch. At level `slide` nobody says it, so tiles are not
    scored; the slide is a second time, as a bag (`bag_scores`, by the pooling `bags`). Nor is a
    tile scored that could not be read: there is nothing on it.
    """
    known = {slide.slide for slide in shard.slides}
    folders = {index.parent.name.removeprefix("fold"): index.parent for index in scores}
    placed = read_table(splits)
    tested = [
        row
        for row in placed
        if row["split"] == "test" and row["fold"] in folders and row["slide"] in known
    ]
    marked = tile_labels[0].parent if tile_labels else None
    read = [_read(row, folders[row["fold"]], classes, marked) for row in tested]
    about = {"classes": classes, "negative": negative}
    draws, taught = {"replicates": bootstrap, "seed": seed} | about, teachers(classifiers)
    whole = [slide for slide, _, _ in read]
    rows = list(
        metric_rows(whole, level=level, method=f"classifier ({pooling})", taught=taught, **draws)
    )
    points = list(curve_rows(whole, level=level, **about))
    if bag_scores:
        folders = {index.parent.name.removeprefix("fold"): index.parent for index in bag_scores}
        read_bags = [_read_bag(row, folders[row["fold"]], classes) for row in tested]
        rows += metric_rows(read_bags, level=level, method=BAGS[bags][0], **draws)
    if level == "image" or tile_labels:
        tiles = [of_tiles for _, of_tiles, _ in read]
        rows += metric_rows(tiles, level="tile", method="classifier", taught=taught, **draws)
        points += curve_rows(tiles, level="tile", **about)
    write_table(evaluation, METRICS, rows)
    write_table(curves, CURVES, points)
    columns = ["slide", "fold", "patient", "label", "predicted"]
    columns += [f"score[{name}]" for name in classes] + ["tiles", "note"]
    write_table(slides, columns, (row for _, _, row in read))
    log.info("%d of %d test slides scored.", sum(bool(len(s.scores)) for s in whole), len(tested))


def _read(
    row: dict, folder: Path, classes: list[str], labels: Path | None
) -> tuple[Scored, Scored, dict]:
    """A test slide as a whole, its readable tiles, and its row in the table of slides.

    A tile has the class of its slide, or its own in `labels`; there, one without any is left out.
    """
    slide = row["slide"]
    about = {key: row[key] for key in ("slide", "patient", "fold")}
    about["truth"] = classes.index(row["label"])
    none, count = np.zeros((0, len(classes))), 0
    pooled, probability, predicted, note, shown = None, none, None, None, about["truth"]
    if usable(folder, [slide]):
        group = open_group(folder / slide / "scores.zarr")
        if group.attrs["classes"] != classes or str(group.attrs["fold"]) != row["fold"]:
            raise RuntimeError(
                f"{slide} has scores of fold {group.attrs['fold']} for {group.attrs['classes']},"
                f" but fold {row['fold']} and {classes} are expected: classify its tiles again"
            )
        facts, probability = manifest(folder / slide)["facts"], group["probability"][:]
        count, kept = len(probability), ~group["bad"][:]
        if labels:
            own = open_group(labels / slide / "tile_labels.zarr")["labels"][:].astype(int)
            kept &= own >= 0
            shown = own[kept]
        probability = probability[kept]
        pooled, predicted = facts["pooled"], facts["predicted"]
        note = "no tile to classify" if pooled is None else None
    else:
        note = "not classified; its verdict says why"
    of_slide = Scored(
        **about,
        predicted=np.array([classes.index(predicted)] if predicted else [], int),
        scores=np.array([pooled]) if pooled else none,
    )
    of_tiles = Scored(
        **about | {"truth": shown}, predicted=probability.argmax(1), scores=probability
    )
    listed = {key: row[key] for key in ("slide", "fold", "patient", "label")}
    listed |= {"predicted": predicted, "tiles": count, "note": note}
    listed |= {
        f"score[{c}]": s for c, s in zip(classes, pooled or [None] * len(classes), strict=True)
    }
    return of_slide, of_tiles, listed


def _read_bag(row: dict, folder: Path, classes: list[str]) -> Scored:
    """A test slide as the aggregator of its fold sees it; without a score where it has no tile."""
    slide, pooled = row["slide"], None
    if usable(folder, [slide]):
        group = open_group(folder / slide / "bag_scores.zarr")
        if group.attrs["classes"] != classes or str(group.attrs["fold"]) != row["fold"]:
            raise RuntimeError(
                f"{slide} has bag scores of fold {group.attrs['fold']} for "
                f"{group.attrs['classes']}, but fold {row['fold']} and {classes} are expected: "
                "score its bag again"
            )
        pooled = manifest(folder / slide)["facts"]["pooled"]
    scores = np.array([pooled]) if pooled else np.zeros((0, len(classes)))
    about = {key: row[key] for key in ("slide", "patient", "fold")}
    truth = classes.index(row["label"])
    return Scored(**about, truth=truth, predicted=scores.argmax(1), scores=scores)


if __name__ == "__main__":
    run(evaluate_classifier, globals().get("snakemake"))
