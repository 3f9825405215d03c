"""Find groups of tiles that look alike on the training slides of a fold."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.clustering import check_finite, fit
from workflow.lib.job import run
from workflow.lib.shard import Shard, commit
from workflow.lib.stores import open_group
from workflow.lib.tables import read_table
from workflow.lib.units import usable

log = logging.getLogger(__name__)

BLOCK = 1 << 14  # features read at once


def train_clusters(
    features: list[Path],
    splits: Path,
    clusters: Path,
    *,
    shard: Shard,
    fold: int,
    count: int,
    pca: int,
    iterations: int,
    restarts: int,
    max_tiles: int,
    seed: int,
) -> None:
    """Fit `count` clusters to the tiles of the fold's training slides, to `max_tiles` at most.

    Above that, tiles are drawn at random, each with the same chance. Unreadable ones take no part.
    """
    units = features[0].parent
    training = [
        row["slide"]
        for row in read_table(splits)
        if row["fold"] == str(fold) and row["split"] == "train"
    ]

    def work(folder: Path) -> dict:
        stores = {
            slide: open_group(units / slide / "features.zarr") for slide in usable(units, training)
        }
        made_by = {str(dict(store.attrs)): slide for slide, store in stores.items()}
        if len(made_by) > 1:
            raise ValueError(f"Features of different encoders cannot be clustered: {made_by}")
        good = [~store["bad"][:] for store in stores.values()]
        kept = np.concatenate([np.zeros(0, bool), *good])
        if not kept.any():
            raise ValueError(
                f"No training slide of fold {fold} has a tile to cluster: look at the tissue masks,"
                " and lower tile_slide.min_tissue if they are right"
            )
        if kept.sum() > max_tiles:
            rng = np.random.default_rng(seed)
            kept[rng.permutation(np.flatnonzero(kept))[max_tiles:]] = False
        parts = np.split(kept, np.cumsum([len(rows) for rows in good])[:-1])
        rows = [_read(*item, part) for item, part in zip(stores.items(), parts, strict=True)]
        found, loss = fit(
            np.concatenate(rows),
            clusters=count,
            pca=pca,
            iterations=iterations,
            restarts=restarts,
            seed=seed,
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
            "n_tiles": int(kept.sum()),
            "n_slides": len(stores),
            "made_by": dict(next(iter(stores.values())).attrs),
        }

    commit(clusters, shard, work, upstream=[units], only=training)


def _read(slide: str, store: object, kept: np.ndarray) -> np.ndarray:
    """The features of those tiles of a slide that are kept, read in blocks."""
    array = store["features"]
    rows = [np.zeros((0, array.shape[1]), np.float32)]
    for start in range(0, array.shape[0], BLOCK):
        block = array[start : start + BLOCK]
        try:
            check_finite(block, first=start)
        except ValueError as error:
            raise ValueError(f"{slide}: {error}") from error
        rows.append(block[kept[start : start + BLOCK]])
    return np.concatenate(rows)


if __name__ == "__main__":
    run(train_clusters, globals().get("snakemake"))
