"""What a network has learnt to see: its first filters, and the tiles its channels respond to."""

import numpy as np
import torch

from workflow.lib.clusters.networks import Network
from workflow.lib.clusters.responses import Responses, measure_responses
from workflow.lib.report.colours import NO_DATA
from workflow.lib.report.galleries import Cell, Strip, draw_filters, draw_gallery, draw_sentence
from workflow.lib.report.montage import choose_tiles, count
from workflow.lib.tiles.bags import TileBag

# What the three inputs of the first layer are, where they are not the colours of the tile.
SEEN = {"sobel": "edges across, edges down and their strength", "hed": "haematoxylin, eosin, rest"}


def draw_network(
    network: Network,
    bag: TileBag,
    *,
    fold: int,
    name: str,
    sees: str,
    channels: int,
    tiles_per_channel: int,
    max_tiles: int,
    rng: np.random.Generator,
    batch: int,
    device: torch.device,
) -> tuple[dict[str, np.ndarray], dict]:
    """Pictures (H, W, 3) uint8 by file name, filters.png and activations.png, and facts of them.

    name: what the pages call the network, of `fold`
    sees: what it is shown of a tile (lib/tiles/channels.py)
    channels: of the last feature map, those that differ most between tiles; each with up to
        `tiles_per_channel` tiles of up to `max_tiles` that are drawn from `bag`
    """
    filters = network.first_filters().cpu().numpy()
    title = f"Fold {fold}: first layer of {name}, {count(len(filters), 'filter')}"
    title += f"; red, green and blue stand for {SEEN[sees]}" if sees in SEEN else ""
    pages = {"filters.png": draw_filters(filters, title=title)}
    drawn = np.sort(rng.permutation(len(bag))[:max_tiles])
    responses = measure_responses(
        network, lambda rows: bag.read(drawn[rows]), len(drawn), batch=batch, device=device
    )
    strips = [
        _strip(bag, drawn, responses, channel, number=tiles_per_channel, rng=rng)
        for channel in responses.liveliest(channels)
    ]
    title = f"Fold {fold}: what {count(len(strips), 'channel')} of {name} respond to most"
    pages["activations.png"] = draw_gallery(
        strips,
        title=title,
        headings=["strongest responses: where in the tile, and how strong"],
        note=f"{responses.layer}, of {count(len(drawn), 'tile')}; a channel sees more than its"
        " box.",
    )
    if not strips:
        why = "No channel tells one tile from another."
        pages["activations.png"] = draw_sentence(why, title=title)
    facts = {"filters": len(filters), "layer": responses.layer, "channels": len(strips)}
    return pages, facts | {"n_tiles": len(drawn), "n_slides": len(bag.slides)}


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
