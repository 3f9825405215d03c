"""Extract the features of every tile with a frozen encoder."""

import functools
import logging
from pathlib import Path

import torch

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.devices import choose_precision, prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.networks.encoders import build_encoder, extract
from workflow.lib.networks.forward import Forward
from workflow.lib.tiles.inference import check_tiles
from workflow.lib.tiles.stores import Tiles, append_rows, create_group, create_rows, write_rows

log = logging.getLogger(__name__)


def extract_features(
    tiles: Path,
    features: Path,
    *,
    shard: Shard,
    encoder: str,
    checkpoint: str,
    precision: str,
    engine: str,
    seed: int,
    weights: Path | None,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write features (N, D) float32 for the N tiles of each slide, in the order of the tiles.

    A tile that could not be read has the features of a white one, and is marked bad.
    """
    where = prepare(device, threads=threads, seed=seed)
    computed = choose_precision(precision, where)

    @functools.cache  # once for the shard, and only if a slide needs it
    def forward() -> Forward:
        built = build_encoder(encoder, checkpoint=checkpoint, weights=weights, seed=seed)
        log.info("%s (%s) gives %d features, on %s.", encoder, checkpoint, built.dim, where)
        built.to(where, memory_format=torch.channels_last)
        how = {"engine": engine, "precision": computed, "batch": batch, "device": where}
        return Forward(built, **how)

    def work(slide: Slide, folder: Path) -> dict:
        store = Tiles(tiles.parent / slide.slide / "tiles.zarr")
        tile_px, mpp = store.attrs["tile_px"], store.attrs["mpp"]
        network = forward().network
        check_tiles(encoder, expects=(network.tile_px, network.mpp), tiles=(tile_px, mpp))
        attrs = {"encoder": encoder, "checkpoint": checkpoint, "mpp": mpp, "tile_px": tile_px}
        group = create_group(folder / "features.zarr", attrs)
        rows = create_rows(group, "features", (len(store), network.dim), "float32")
        found = extract(forward(), store.batch, len(store))
        try:
            append_rows(rows, found)
        except ValueError as error:
            raise ValueError(f"{slide.slide}: {error}") from error
        write_rows(group, "bad", store.bad)
        facts = {"precision": computed, "engine": forward().engine}  # as found, not as asked
        return {"tiles": len(store), "dim": network.dim, **facts}

    visit(features, shard, work, upstream=[tiles.parent])


if __name__ == "__main__":
    run(extract_features, globals().get("snakemake"))
