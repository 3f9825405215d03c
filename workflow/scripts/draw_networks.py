"""Draw the first-layer filters of a network, and tiles that its channels respond to."""

import json
import logging
from pathlib import Path

import numpy as np
from PIL import Image

from workflow.lib.clusters.networks import load_network
from workflow.lib.clusters.responses import Responses, measure_responses
from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.names import CLUSTERINGS
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import usable
from workflow.lib.report.colours import NO_DATA
from workflow.lib.report.galleries import Cell, Strip, draw_filters, draw_gallery, draw_sentence
from workflow.lib.report.montage import choose_tiles, count
from workflow.lib.tiles.bags import TileBag
from workflow.lib.tiles.inference import check_tiles
from workflow.lib.tiles.stores import Tiles

log = logging.getLogger(__name__)

# What the three inputs of the first layer are, where they are not the colours of the tile.
SEEN = {"sobel": "edges across, edges down and their strength", "hed": "haematoxylin, eosin, rest"}


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
        sees = SEEN.get(made.get("channels", "rgb"))
        filters = network.first_filters().cpu().numpy()
        title = f"Fold {fold}: first layer of {name}, {count(len(filters), 'filter')}"
        title += f"; red, green and blue stand for {sees}" if sees else ""
        _save(folder / "filters.png", draw_filters(filters, title=title))

        slides = usable(units, placed.keys() & {slide.slide for slide in shard.slides})
        stores = [Tiles(units / slide / "tiles.zarr") for slide in slides]
        for slide, store in zip(slides, stores, strict=True):
            found = store.attrs["tile_px"], store.attrs["mpp"]
            check_tiles(f"{name} ({slide})", expects=(network.tile_px, network.mpp), tiles=found)
        bag = TileBag(slides, stores, [0] * len(slides))
        rng = np.random.default_rng(seed)
        drawn = np.sort(rng.permutation(len(bag))[:max_tiles])
        responses = measure_responses(
            network, lambda rows: bag.read(drawn[rows]), len(drawn), batch=batch, device=where
        )
        strips = [
            _strip(bag, drawn, responses, channel, number=tiles_per_channel, rng=rng)
            for channel in responses.liveliest(channels)
        ]
        title = f"Fold {fold}: what {count(len(strips), 'channel')} of {name} respond to most"
        page = draw_gallery(
            strips,
            title=title,
            headings=["strongest responses: where in the tile, and how strong"],
            note=f"{responses.layer}, of {count(len(drawn), 'tile')}; a channel sees more than"
            " its box.",
        )
        if not strips:
            page = draw_sentence("No channel tells one tile from another.", title=title)
        _save(folder / "activations.png", page)
        facts = {"filters": len(filters), "layer": responses.layer, "channels": len(strips)}
        return facts | {"n_tiles": len(drawn), "n_slides": len(slides)}

    commit(networks, shard, work, upstream=[units, splits, trained])


def _strip(
    bag: TileBag,
    drawn: np.ndarray,
    responses: Responses,
    channel: int,
    *,
    number: int,
    rng: np.random.Generator,
) -> Strip:
    """The `number` tiles that a channel responds to most, none overlapping another."""
    value, slide = responses.value[:, channel], bag.slide.numpy()[drawn]
    corners = [
        bag.stores[s].positions_px[row] for s, row in zip(slide, bag.row[drawn], strict=True)
    ]
    tile_px = bag.stores[0].attrs["tile_px"]
    top, _ = choose_tiles(
        -value, slide, np.array(corners), tile_px=tile_px, count=2 * number, rng=rng
    )
    cells = [
        Cell(pixels, [bag.slides[slide[i]], f"{value[i]:.3g}"], responses.box(i, channel))
        for i, pixels in zip(top, bag.read(drawn[top]), strict=True)
    ]
    return Strip(str(channel), NO_DATA, [cells])


def _save(path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(path, optimize=True)


if __name__ == "__main__":
    run(draw_networks, globals().get("snakemake"))
