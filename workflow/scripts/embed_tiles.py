"""Extract features of every tile with the network that a fold learnt."""

import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from workflow.lib.clusters.networks import Network, load_network
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.devices import choose_precision, mixed, prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.inference import check_tiles, infer
from workflow.lib.tiles.rows import check_finite
from workflow.lib.tiles.stores import Tiles, append_rows, create_group, create_rows, write_rows

log = logging.getLogger(__name__)


def embed_tiles(
    tiles: Path,
    clusters: Path,
    embeddings: Path,
    *,
    shard: Shard,
    fold: int,
    precision: str,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write features (N, D) float32 for the N tiles of each slide, in the order of the tiles.

    A tile that could not be read has the features of a white one, and is marked bad.
    """
    where = prepare(device, threads=threads)
    computed = choose_precision(precision, where)
    trained = clusters.with_suffix("")
    attrs = manifest(trained)["facts"]["made_by"]

    @functools.cache  # once for the shard, and only if a slide needs it
    def network() -> Network:
        return load_network(trained).to(where, memory_format=torch.channels_last)

    def embed(batch: torch.Tensor) -> torch.Tensor:
        with mixed(where, computed):
            return network().embed(batch)

    def work(slide: Slide, folder: Path) -> dict:
        store = Tiles(tiles.parent / slide.slide / "tiles.zarr")
        check_tiles(
            f"The network of fold {fold}",
            expects=(network().tile_px, network().mpp),
            tiles=(store.attrs["tile_px"], store.attrs["mpp"]),
        )
        group = create_group(folder / "features.zarr", attrs)
        rows = create_rows(group, "features", (len(store), network().dim), "float32")
        found = infer(embed, store.batch, len(store), batch=batch, device=where)
        append_rows(rows, _finite(slide.slide, found))
        write_rows(group, "bad", store.bad)
        return {"tiles": len(store), "dim": network().dim, "precision": computed}

    visit(embeddings, shard, work, upstream=[tiles.parent, trained])


def _finite(slide: str, found: Iterator[tuple[slice, np.ndarray]]) -> Iterator[np.ndarray]:
    """The features batch by batch, unless one is NaN or infinite."""
    for rows, features in found:
        try:
            check_finite(features, first=rows.start)
        except ValueError as error:
            raise ValueError(f"{slide}: {error}") from error
        yield features


if __name__ == "__main__":
    run(embed_tiles, globals().get("snakemake"))
