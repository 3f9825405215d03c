"""Find groups of tiles that look alike on the training slides of a fold."""

import logging
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from workflow.lib.clusters.clustering import fit
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import usable
from workflow.lib.tiles.rows import Rows, draw, gather, one_encoder
from workflow.lib.tiles.stores import open_group

log = logging.getLogger(__name__)


def train_clusters(
    features: list[Path],
    splits: Path,
    clusters: Path,
    *,
    shard: Shard,
    fold: int,
    fit_on: str,
    count: int,
    pca: int,
    iterations: int,
    restarts: int,
    max_tiles: int,
    seed: int,
) -> None:
    """Fit `count` clusters to the tiles of the fold's training slides, to `max_tiles` at most.

    fit_on "all" takes every slide of the fold, whatever its split. Above `max_tiles`, tiles are
    drawn at random, each with the same chance. Unreadable ones take no part. Features are read
    block by block: of all tiles, memory holds which are drawn, and nothing else.
    """
    units = features[0].parent
    fitted = [
        row["slide"]
        for row in read_table(splits)
        if row["fold"] == str(fold) and (fit_on == "all" or row["split"] == "train")
    ]

    def work(folder: Path) -> dict:
        stores = {
            slide: open_group(units / slide / "features.zarr") for slide in usable(units, fitted)
        }
        made_by = one_encoder({slide: store.attrs for slide, store in stores.items()})
        drawn = draw([~store["bad"][:] for store in stores.values()], max_tiles, seed=seed)
        kept = dict(zip(stores, drawn, strict=True))
        tiles = sum(int(rows.sum()) for rows in kept.values())
        if not tiles:
            which = "No slide" if fit_on == "all" else "No training slide"
            raise ValueError(
                f"{which} of fold {fold} has a tile to cluster: look at the tissue masks,"
                " and lower tile_slide.min_tissue if they are right"
            )
        rows = Rows({slide: store["features"] for slide, store in stores.items()}, kept)
        with TemporaryDirectory(dir=folder) as scratch:
            if tiles == max_tiles:  # drawn from more: read all of them once, not in every pass
                rows = gather(rows, Path(scratch, "features"))
            found, loss = fit(
                rows, clusters=count, pca=pca, iterations=iterations, restarts=restarts, seed=seed
            )
        if len(found.centroids) < count:
            log.warning(
                "Fold %d: %d clusters instead of %d, because no more tiles differ from each other.",
                fold,
                len(found.centroids),
                count,
            )
        np.savez(folder / "clusters.npz", **vars(found))
        return {
            "k": len(found.centroids),
            "components": len(found.scale),
            "loss": loss,
            "n_tiles": tiles,
            "n_slides": len(stores),
            "trained_on": list(stores),
            "fit_on": fit_on,
            "made_by": made_by,
        }

    commit(clusters, shard, work, upstream=[units], only=fitted)


if __name__ == "__main__":
    run(train_clusters, globals().get("snakemake"))
