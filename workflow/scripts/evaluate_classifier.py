"""Compare scores and predicted classes with labels, out of fold."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.job import run
from workflow.lib.label_tables import CURVES, Scored, curve_rows, metric_rows
from workflow.lib.shard import Shard
from workflow.lib.stores import open_group
from workflow.lib.tables import METRICS, read_table, write_table
from workflow.lib.units import manifest, usable

log = logging.getLogger(__name__)


def evaluate_classifier(
    scores: list[Path],
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
) -> None:
    """Score each test slide and, at level `image`, each tile under the label of its image.

    At other levels nobody says which tiles of a slide show its label, so tiles are not scored. Nor
    is a tile that could not be read: there is nothing on it.
    """
    known = {slide.slide for slide in shard.slides}
    folders = {index.parent.name.removeprefix("fold"): index.parent for index in scores}
    tested = [
        row
        for row in read_table(splits)
        if row["split"] == "test" and row["fold"] in folders and row["slide"] in known
    ]
    read = [_read(row, folders[row["fold"]], classes) for row in tested]
    about = {"classes": classes, "negative": negative}
    draws = {"replicates": bootstrap, "seed": seed} | about
    whole = [slide for slide, _, _ in read]
    rows = list(metric_rows(whole, level=level, method=f"classifier ({pooling})", **draws))
    points = list(curve_rows(whole, level=level, **about))
    if level == "image":
        tiles = [of_tiles for _, of_tiles, _ in read]
        rows += metric_rows(tiles, level="tile", method="classifier", **draws)
        points += curve_rows(tiles, level="tile", **about)
    write_table(evaluation, METRICS, rows)
    write_table(curves, CURVES, points)
    columns = ["slide", "fold", "patient", "label", "predicted"]
    columns += [f"score[{name}]" for name in classes] + ["tiles", "note"]
    write_table(slides, columns, (row for _, _, row in read))
    log.info("%d of %d test slides scored.", sum(bool(len(s.scores)) for s in whole), len(tested))


def _read(row: dict, folder: Path, classes: list[str]) -> tuple[Scored, Scored, dict]:
    """A test slide as a whole, its readable tiles, and its row in the table of slides."""
    slide = row["slide"]
    about = {key: row[key] for key in ("slide", "patient", "fold")}
    about["truth"] = classes.index(row["label"])
    none, count = np.zeros((0, len(classes))), 0
    pooled, probability, predicted, note = None, none, None, None
    if usable(folder, [slide]):
        group = open_group(folder / slide / "scores.zarr")
        if group.attrs["classes"] != classes or str(group.attrs["fold"]) != row["fold"]:
            raise RuntimeError(
                f"{slide} has scores of fold {group.attrs['fold']} for {group.attrs['classes']},"
                f" but fold {row['fold']} and {classes} are expected: classify its tiles again"
            )
        facts, probability = manifest(folder / slide)["facts"], group["probability"][:]
        count, probability = len(probability), probability[~group["bad"][:]]
        pooled, predicted = facts["pooled"], facts["predicted"]
        note = "no tile to classify" if pooled is None else None
    else:
        note = "not classified; its verdict says why"
    of_slide = Scored(
        **about,
        predicted=np.array([classes.index(predicted)] if predicted else [], int),
        scores=np.array([pooled]) if pooled else none,
    )
    of_tiles = Scored(**about, predicted=probability.argmax(1), scores=probability)
    listed = {key: row[key] for key in ("slide", "fold", "patient", "label")}
    listed |= {"predicted": predicted, "tiles": count, "note": note}
    listed |= {
        f"score[{c}]": s for c, s in zip(classes, pooled or [None] * len(classes), strict=True)
    }
    return of_slide, of_tiles, listed


if __name__ == "__main__":
    run(evaluate_classifier, globals().get("snakemake"))
