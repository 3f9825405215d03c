"""Classify the tiles of the slides that a fold's classifier did not learn from."""

import functools
import logging
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from workflow.lib.cohort.folds import in_fold
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.pooling import Pooling, pool_tiles
from workflow.lib.tiles.inference import check_tiles, infer
from workflow.lib.tiles.stores import Tiles, create_group, write_rows

log = logging.getLogger(__name__)


def classify_tiles(
    tiles: Path,
    splits: Path,
    classifier: Path,
    scores: Path,
    *,
    shard: Shard,
    fold: int,
    pooling: Pooling,
    negative: str | None,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write class scores of every tile, and of the slide, for the fold's val and test slides."""
    where = prepare(device, threads=threads)
    trained = classifier.with_suffix("")
    unseen = set(in_fold(read_table(splits), fold, "val", "test"))

    @functools.cache  # once for the shard, and only if a slide needs it
    def network() -> Classifier:
        return Classifier.load(trained).to(where, memory_format=torch.channels_last)

    def work(slide: Slide, folder: Path) -> dict:
        store, classes = Tiles(tiles.parent / slide.slide / "tiles.zarr"), network().classes
        check_tiles(
            f"The classifier of fold {fold}",
            expects=(network().tile_px, network().mpp),
            tiles=(store.attrs["tile_px"], store.attrs["mpp"]),
        )
        found = infer(network().logits, store.batch, len(store), batch=batch, device=where)
        logits = np.concatenate([np.empty((0, len(classes)), np.float32), *(r for _, r in found)])
        if not np.isfinite(logits).all():
            broken = int(np.flatnonzero(~np.isfinite(logits).all(axis=1))[0])
            raise ValueError(f"E_NUMBER: {slide.slide}: the scores of tile {broken} are not finite")
        probability = softmax(logits, axis=1)
        group = create_group(folder / "scores.zarr", {"classes": classes, "fold": fold})
        write_rows(group, "logits", logits)
        write_rows(group, "probability", probability)
        write_rows(group, "bad", store.bad)
        facts = {"tiles": len(store), "pooled": None, "predicted": None}
        if (good := ~store.bad).any():
            index = classes.index(negative) if negative in classes else None
            pooled = pool_tiles(probability[good], pooling, negative=index)
            facts |= {"pooled": pooled.tolist(), "predicted": classes[int(pooled.argmax())]}
            log.info("%s: %s (%.2f).", slide.slide, facts["predicted"], pooled.max())
        return facts

    visit(scores, shard, work, upstream=[tiles.parent, trained], only=unseen)


if __name__ == "__main__":
    run(classify_tiles, globals().get("snakemake"))
