"""Average the evidence of each class over locations that look alike, across training images."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from workflow.lib.clusters.clustering import fit
from workflow.lib.cohort.folds import in_fold
from workflow.lib.evidence.consistency import Evidence, Pool, choose_level, look, sample
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.tiles.bags import open_bag, tile_weights
from workflow.lib.tiles.inference import read_ahead, to_input

log = logging.getLogger(__name__)


def pool_evidence(
    tiles: list[Path],
    splits: Path,
    classifier: Path,
    evidence: Path,
    *,
    shard: Shard,
    fold: int,
    count: int,
    pca: int,
    iterations: int,
    stride: int,
    locations_per_tile: int,
    max_tiles: int,
    seed: int,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write clusters of locations and what the training slides of the fold say of each.

    Clusters are fitted to locations of `max_tiles` tiles at most; evidence is then averaged over
    all locations of all tiles, every class, slide and tile of it counting alike.
    """
    units, trained = tiles[0].parent, classifier.with_suffix("")
    training = in_fold(read_table(splits), fold, "train")
    placed = {slide: row["label"] for slide, row in training.items()}

    def work(folder: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        model = Classifier.load(trained).to(where, memory_format=torch.channels_last)
        level = choose_level(model, stride)
        bag = open_bag(units, {name: model.classes.index(of) for name, of in placed.items()})

        def views(chosen: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
            for indices, pixels in read_ahead(bag.read, chosen.split(batch)):
                with torch.inference_mode():
                    cams, maps = look(model, to_input(pixels, where), level)
                if not (torch.isfinite(cams).all() and torch.isfinite(maps).all()):
                    raise ValueError(
                        f"E_NUMBER: What the classifier of fold {fold} makes of tiles of "
                        f"{', '.join(bag.names(indices))} is not finite; look at these slides, or "
                        "train the classifier anew"
                    )
                yield indices, cams, maps

        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randperm(len(bag), generator=generator)[:max_tiles].sort().values
        rows = sample((maps for _, _, maps in views(drawn)), locations_per_tile, seed=seed)
        clusters, loss = fit(
            rows, clusters=count, pca=pca, iterations=iterations, restarts=1, seed=seed
        )
        pool, weights = Pool(clusters, len(model.classes)), tile_weights(bag).numpy()
        for indices, cams, maps in views(torch.arange(len(bag))):
            pool.add(cams, maps, weights[indices.numpy()])
        found = pool.evidence()
        Evidence(clusters, found, stride).save(folder)
        log.info(
            "Fold %d: evidence of %d clusters of locations, from %d tiles of %d slides.",
            fold,
            len(found),
            len(bag),
            len(bag.slides),
        )
        spread = np.round(found.std(axis=0), 4).tolist()
        facts = {"k": len(found), "loss": loss, "n_tiles": len(bag), "spread": spread}
        return {**facts, "trained_on": bag.slides}

    commit(evidence, shard, work, upstream=[units, splits, trained], only=set(placed))


if __name__ == "__main__":
    run(pool_evidence, globals().get("snakemake"))
