"""Draw what the classifier of a fold sees in tiles of the slides that it is tested on."""

import logging
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.special import softmax

from workflow.lib.clusters.cluster_networks import ClusterNetwork
from workflow.lib.cohort.folds import in_fold
from workflow.lib.evidence.attributions import attribute, log_odds
from workflow.lib.evidence.cam_names import CAMS
from workflow.lib.evidence.cams import Scale
from workflow.lib.evidence.explained_tiles import (
    find_tiles,
    pick_tiles,
    read_named,
    tile_evidence,
)
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.report.explanations import Explained, colour_maps, draw_explanations
from workflow.lib.report.montage import count
from workflow.lib.report.network_pages import draw_network
from workflow.lib.tiles.bags import check_bag, open_bag
from workflow.lib.tiles.inference import to_input
from workflow.lib.tiles.shards import Shards
from workflow.lib.tiles.stores import open_group

log = logging.getLogger(__name__)

COLUMNS = ("why", "class", "probability", "slide", "label", "tile", "x", "y")


def explain_tiles(
    tiles: list[Path],
    splits: Path,
    classifier: Path,
    cams: list[Path],
    explanations: Path,
    *,
    shard: Shard,
    fold: int,
    cam_scale: Scale,
    most_certain: int,
    least_certain: int,
    named: list[str],
    occlusion_px: int,
    channels: int,
    tiles_per_channel: int,
    max_tiles: int,
    seed: int,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write a page of explained tiles per class, a table of them, and what channels respond to.

    Tiles are those of the fold's test slides: of each class those that are called so with the
    highest and with the lowest probability, and those of `named`. Labels are written beside them
    and choose none.
    """
    units, seen, trained = tiles[0].parent, cams[0].parent, classifier.with_suffix("")
    cam, rows = seen.parent.name, read_table(splits)
    placed = in_fold(rows, fold, "test")
    asked = read_named(named, {row["slide"] for row in rows if row["split"] == "test"})

    def work(folder: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        model = Classifier.load(trained).to(where, memory_format=torch.channels_last)
        name, classes = model.backbone.name, model.requires_grad_(False).classes
        bag = open_bag(units, dict.fromkeys(placed, 0))
        check_bag(name, bag, expects=(model.tile_px, model.mpp))
        logits = [np.empty((0, len(classes)))]
        for slide, store in zip(bag.slides, bag.stores, strict=True):
            logits.append(open_group(seen / slide / "cams.zarr")["logits"][:][~store.bad])
        probability = softmax(np.concatenate(logits), axis=1)
        picks = pick_tiles(
            probability,
            bag.slide.numpy(),
            most=most_certain,
            least=least_certain,
            named=list(find_tiles([each for each in asked if each[0] in placed], bag)),
        )
        table: list[dict] = []
        shown: list[list[Explained]] = [[] for _ in classes]
        for why, index, of in picks:
            slide, row = bag.slides[bag.slide[index]], int(bag.row[index])
            y, x = bag.stores[bag.slide[index]].origins[row].tolist()
            facts = (why, classes[of], probability[index, of], slide, placed[slide]["label"], row)
            table.append(dict(zip(COLUMNS, (*facts, x, y), strict=True)))
            tile = bag.read([index])
            stored = Shards(seen / slide / "cams.zarr" / "cams")[row : row + 1]
            pictures = colour_maps(
                tile[0],
                tile_evidence(stored, of, cam=cam, scale=cam_scale, tile_px=model.tile_px),
                attribute(
                    to_input(tile, where)[0],
                    lambda tiles, of=of: log_odds(model.logits(tiles), of),
                    occlusion_px=occlusion_px,
                    batch=batch,
                ),
            )
            shown[of].append(Explained(_words(table[-1]), pictures))
        write_table(folder / "tiles.tsv", COLUMNS, table)
        counts = np.bincount(probability.argmax(axis=1), minlength=len(classes))
        drawn = {
            f"class{of}.png": draw_explanations(
                explained,
                title=f"Fold {fold}: tiles of test slides that {name} calls {classes[of]}",
                note=f"{counts[of]:,} of {count(len(bag), 'tile')} are called so.",
                cam=CAMS[cam],
                side_um=model.tile_px * model.mpp,
            )
            for of, explained in enumerate(shown)
        }
        pages, facts = draw_network(
            ClusterNetwork(model.backbone, tile_px=model.tile_px, mpp=model.mpp, checkpoint=""),
            bag,
            fold=fold,
            name=f"the classifier ({name})",
            sees=model.backbone.sees,
            channels=channels,
            tiles_per_channel=tiles_per_channel,
            max_tiles=max_tiles,
            rng=np.random.default_rng(seed),
            batch=batch,
            device=where,
        )
        for file, page in (drawn | pages).items():
            Image.fromarray(page).save(folder / file)
        return facts | {"classes": classes, "explained": len(table)}

    commit(explanations, shard, work, upstream=[units, splits, trained, seen], only=placed)


def _words(row: dict) -> list[str]:
    """What is written beside a tile."""
    return [
        f"{row['why']}: {row['probability']:.3f}",
        row["slide"],
        f"label {row['label']}",
        f"tile {row['tile']}: x {row['x']:,}, y {row['y']:,}",
    ]


if __name__ == "__main__":
    run(explain_tiles, globals().get("snakemake"))
