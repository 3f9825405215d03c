"""Draw the page on which a pathologist sees what each cluster is."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.report.montage import ROWS, Row, choose_tiles, count, draw_montage
from workflow.lib.tiles.stores import Tiles, open_group

log = logging.getLogger(__name__)


def draw_montages(
    tiles: list[Path],
    assignments: list[Path],
    splits: Path,
    montages: Path,
    *,
    shard: Shard,
    fold: int,
    tiles_per_cluster: int,
    seed: int,
) -> None:
    """Draw tiles of every cluster, half of them the nearest, half drawn at random; count them all.

    Tiles of all slides are shown, whatever their split: the page describes, it does not score.
    """
    tile_units, units = tiles[0].parent, assignments[0].parent
    placed = in_fold(read_table(splits), fold)

    def work(folder: Path) -> dict:
        slides = usable(units, {slide.slide for slide in shard.slides} & placed.keys())
        stores = [Tiles(tile_units / slide / "tiles.zarr") for slide in slides]
        groups = [open_group(units / slide / "assignments.zarr") for slide in slides]
        ids = np.concatenate([np.zeros(0, int), *(group["assignments"][:] for group in groups)])
        distance = np.concatenate([np.zeros(0), *(group["distance"][:] for group in groups)])
        bad = np.concatenate([np.zeros(0, bool), *(store.bad for store in stores)])
        slide_of = np.repeat(np.arange(len(slides)), [len(store) for store in stores])
        row_of = np.concatenate([np.zeros(0, int), *(np.arange(len(store)) for store in stores)])
        corners = np.concatenate([np.zeros((0, 2), int), *(s.positions_px for s in stores)])
        k = manifest(units / slides[0])["facts"]["k"] if slides else 0
        rng = np.random.default_rng(seed)
        rows = []
        for cluster in range(k):
            members = np.flatnonzero(ids == cluster)
            held = dict(zip(*np.unique(slide_of[members], return_counts=True), strict=True))
            labels = Counter()
            for slide, number in held.items():
                labels[placed[slides[slide]]["label"]] += int(number)
            shown = members[~bad[members]] if cluster < ROWS else members[:0]
            near, drawn = choose_tiles(
                distance[shown],
                slide_of[shown],
                corners[shown],
                tile_px=stores[0].attrs["tile_px"],
                count=tiles_per_cluster,
                rng=rng,
            )
            pixels = (
                np.array([stores[slide_of[i]].pixels(row_of[i]) for i in shown[part]], np.uint8)
                for part in (near, drawn)
            )
            patients = {placed[slides[slide]]["patient"] for slide in held}
            labels.pop("", None)
            rows.append(Row(cluster, len(members), len(held), len(patients), labels, *pixels))
        size = f"{count(k, 'cluster')}, {count(len(ids), 'tile')}"
        title = f"Fold {fold}: {size} of {count(len(slides), 'slide')}"
        Image.fromarray(draw_montage(rows, title=title)).save(folder / "montage.png", optimize=True)
        _write_sizes(folder / "sizes.tsv", rows)
        return {"k": k, "n_tiles": len(ids), "n_slides": len(slides)}

    commit(montages, shard, work, upstream=[tile_units, units, splits])


def _write_sizes(path: Path, rows: list[Row]) -> None:
    """How large every cluster is, and how its tiles are shared among the labels."""
    labels = sorted({label for row in rows for label in row.labels})
    total = max(1, sum(row.tiles for row in rows))
    columns = ["cluster", "tiles", "share", "slides", "patients"]
    columns += [f"tiles[{label}]" for label in labels]
    cells = []
    for row in rows:
        shares = (row.labels.get(label, 0) for label in labels)
        cells.append((row.cluster, row.tiles, row.tiles / total, row.slides, row.patients, *shares))
    write_table(path, columns, (dict(zip(columns, row, strict=True)) for row in cells))


if __name__ == "__main__":
    run(draw_montages, globals().get("snakemake"))
