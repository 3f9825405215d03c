"""Draw the first-layer filters of a network, and tiles that its channels respond to."""

import json
import logging
from pathlib import Path

import numpy as np
from PIL import Image

from workflow.lib.clusters.networks import load_network
from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.names import CLUSTERINGS
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table
from workflow.lib.report.network_pages import draw_network
from workflow.lib.tiles.bags import check_bag, open_bag

log = logging.getLogger(__name__)


def draw_networks(
    tiles: list[Path],
    splits: Path,
    clusters: Path,
    networks: Path,
    *,
    shard: Shard,
    fold: int,
    channels: int,
    tiles_per_channel: int,
    max_tiles: int,
    seed: int,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Draw the filters, and for `channels` of the last feature map what they respond to most.

    Of up to `max_tiles` tiles of all slides, whatever their split: the page describes, it does not
    score.
    """
    units, trained = tiles[0].parent, clusters.with_suffix("")
    placed = in_fold(read_table(splits), fold)
    where = prepare(device, threads=threads, seed=seed)

    def work(folder: Path) -> dict:
        network = load_network(trained).to(where).eval()
        made = json.loads((trained / "model.json").read_text())
        name = made.get("backbone") or CLUSTERINGS[made["kind"]]
        members = placed.keys() & {slide.slide for slide in shard.slides}
        bag = open_bag(units, dict.fromkeys(members, 0))
        check_bag(name, bag, expects=(network.tile_px, network.mpp))
        pages, facts = draw_network(
            network,
            bag,
            fold=fold,
            name=name,
            sees=made.get("channels", "rgb"),
            channels=channels,
            tiles_per_channel=tiles_per_channel,
            max_tiles=max_tiles,
            rng=np.random.default_rng(seed),
            batch=batch,
            device=where,
        )
        for file, page in pages.items():
            Image.fromarray(page).save(folder / file, optimize=True)
        return facts

    commit(networks, shard, work, upstream=[units, splits, trained])


if __name__ == "__main__":
    run(draw_networks, globals().get("snakemake"))
