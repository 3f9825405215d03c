"""Measure what a linear classifier reads from every layer of a network."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from workflow.lib.clusters.layer_features import probe_layers
from workflow.lib.clusters.linear_probes import Probe, auroc, draw_tiles, pool_slides
from workflow.lib.clusters.networks import Network, load_network
from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.tiles.bags import TileBag, open_bag
from workflow.lib.tiles.inference import check_tiles
from workflow.lib.tiles.stores import create_group, write_rows

log = logging.getLogger(__name__)

COLUMNS = ("network", "seed", "layer", "dim", "tile_auroc", "slide_auroc")


def probe_networks(
    tiles: list[Path],
    splits: Path,
    clusters: Path,
    probes: Path,
    *,
    shard: Shard,
    fold: int,
    classes: list[str],
    random_starts: int,
    penalty: float,
    max_tiles: int,
    seed: int,
    weights: Path | None,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write class probabilities of the tiles of the fold's test slides, per network and layer.

    A probe is fitted on `max_tiles` tiles of the training slides at most and scored on as many of
    the test slides, drawn from slides in equal turns; tiles carry the label of their slide. Slides
    without a label take no part. Where a class has no training tile there is nothing to fit: the
    unit then holds no probe, and says so.
    """
    folder, trained = tiles[0].parent, clusters.with_suffix("")
    labelled = [row for row in read_table(splits) if row["label"]]
    placed = in_fold(labelled, fold, "train", "test")

    def read_bag(split: str) -> TileBag:
        chosen = {s: classes.index(r["label"]) for s, r in placed.items() if r["split"] == split}
        bag = open_bag(folder, chosen)
        return bag.only(draw_tiles(bag.slide.numpy(), max_tiles, seed=seed))

    def work(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        training, testing = (read_bag(name) for name in ("train", "test"))
        present = set(training.label.tolist())
        missing = [name for index, name in enumerate(classes) if index not in present]
        scores, warning = {}, None
        if missing or len(classes) < 2:
            why = f"no training tile of class {', '.join(missing)}" if missing else "a single class"
            warning = f"Fold {fold} has no probe, because there is {why}."
            log.warning(warning)
        else:
            network = load_network(trained)
            store = training.stores[0]
            check_tiles(
                f"The network of fold {fold}",
                expects=(network.tile_px, network.mpp),
                tiles=(store.attrs["tile_px"], store.attrs["mpp"]),
            )
            for name, number, each in _networks(network, random_starts, seed, weights):
                found = probe_layers(
                    each.to(where, memory_format=torch.channels_last).eval().layers,
                    training,
                    testing,
                    penalty=penalty,
                    batch=batch,
                    device=where,
                )
                scores |= {Probe(name, number, layer, dim): s for layer, dim, s in found}
        _write(unit, scores, testing, {"classes": classes, "fold": fold})
        sizes = {"train_tiles": len(training), "test_tiles": len(testing)}
        facts = {"probes": len(scores), **sizes, "trained_on": training.slides}
        return {**facts, "warning": warning}

    commit(probes, shard, work, upstream=[folder, splits, trained], only=set(placed))


def _networks(
    network: Network, random_starts: int, seed: int, weights: Path | None
) -> Iterator[tuple[str, int | None, Network]]:
    """The trained network, what it started from, and untrained ones with their seeds."""
    yield "trained", None, network
    if (start := network.start(weights)) is not None:
        yield "start", None, start
    for number in range(seed, seed + random_starts):
        yield "random", number, network.untrained(number)


def _write(unit: Path, scores: dict[Probe, np.ndarray], testing: TileBag, attrs: dict) -> None:
    """scores.zarr, of readable tiles only, and a table of how well each probe did."""
    slides, labels = testing.slide.numpy(), testing.label.numpy()
    attrs |= {"slides": testing.slides, "probes": [list(probe) for probe in scores]}
    group = create_group(unit / "scores.zarr", attrs)
    write_rows(group, "slide", slides.astype(np.int32))
    write_rows(group, "row", testing.row)
    rows = []
    for index, (probe, probability) in enumerate(scores.items()):
        write_rows(group, f"probability{index}", probability)
        pooled, shown = pool_slides(probability, slides, count=len(testing.slides))
        of_slide = np.zeros(len(testing.slides), np.int64)
        of_slide[slides] = labels
        of = (auroc(probability, labels), auroc(pooled, of_slide[shown]))
        rows.append(dict(zip(COLUMNS, (*probe, *of), strict=True)))
    write_table(unit / "probes.tsv", COLUMNS, rows)


if __name__ == "__main__":
    run(probe_networks, globals().get("snakemake"))
