"""Train a linear classifier of pixels on the frozen features of a fold, from evidence alone."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.pixel_classifiers import PixelClassifier, fit_linear, gather
from workflow.lib.refine.seed_bags import open_seed_bags

log = logging.getLogger(__name__)


def train_pixelcam(
    tiles: list[Path],
    cams: list[Path],
    splits: Path,
    classifier: Path,
    decoder: Path,
    *,
    shard: Shard,
    fold: int,
    negative: str | None,
    cam_scale: str,
    foreground: float,
    background: float,
    stride: int,
    locations_per_tile: int,
    max_tiles: int,
    penalty: float,
    seed: int,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write the pixel classifier of `fold`, learnt from the evidence of its training slides.

    No pixel mask takes part, and nothing is chosen: the fit has one solution.
    """
    trained, evidence = classifier.with_suffix(""), cams[0].parent
    placed = in_fold(read_table(splits), fold, "train")

    def make(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        model = PixelClassifier(Classifier.load(trained), stride).to(where)
        reading = {"fold": fold, "negative": negative, "cam_scale": cam_scale}
        bag, _ = open_seed_bags(tiles[0].parent, evidence, placed, **reading)
        count = len(bag.tiles)
        drawn = np.random.default_rng(seed).permutation(count)[:max_tiles]
        features, sides = gather(
            model,
            bag,
            np.sort(drawn),
            locations_per_tile=locations_per_tile,
            foreground=foreground,
            background=background,
            batch=batch,
            seed=seed,
            device=where,
        )
        seeds = np.bincount(sides, minlength=2).tolist()
        log.info("%d foreground and %d background locations of %d tiles.", *seeds[::-1], len(drawn))
        cuts = {"background": f"below {background}", "foreground": f"at {foreground}"}
        for count, (side, cut) in zip(seeds, cuts.items(), strict=True):
            if not count:
                raise ValueError(
                    f"Fold {fold} has no {side} to learn from: evidence of {len(drawn)} training "
                    f"tiles is nowhere {cut}; look at the class activation maps, or move "
                    f"train_pixelcam.{side}"
                )
        fit_linear(model, features, sides, penalty=penalty)
        facts = {"masks": [], "trained_on": bag.tiles.slides, "chosen_on": []}
        facts |= {"precision": "fp32", "chosen_by": "nothing to choose: the fit has one solution"}
        about = {"method": "pixelcam", "settings": shard.recipe["settings"], "fold": fold}
        model.cpu().save(unit, {**facts, **about}, trained_on=manifest(trained)["recipe"])
        return {**facts, "seeds": seeds}

    commit(decoder, shard, make, upstream=[splits, evidence], only=set(placed))


if __name__ == "__main__":
    run(train_pixelcam, globals().get("snakemake"))
