"""Make the class activation maps of every tile by one method: where the classifier sees a class."""

import functools
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.special import softmax

from workflow.lib.cohort.folds import in_fold
from workflow.lib.cohort.sheet import Slide
from workflow.lib.evidence.cam_makers import CamMaker
from workflow.lib.evidence.cams import CamTally, evidence_class
from workflow.lib.evidence.consistency import Evidence
from workflow.lib.evidence.gland_tiles import GlandTiles
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.networks.pooling import Pooling, pool_tiles
from workflow.lib.tiles.inference import check_tiles, infer
from workflow.lib.tiles.stores import Tiles, append_rows, create_group, create_rows, write_rows

log = logging.getLogger(__name__)


def make_cams(
    tiles: Path,
    splits: Path,
    classifier: Path,
    evidence: Path | None,
    glands: Path | None,
    cams: Path,
    *,
    shard: Shard,
    fold: int,
    cam: str,
    classes: list[str],
    pooling: Pooling,
    negative: str | None,
    scales: Sequence[float] = (1.0,),
    flips: bool = False,
    consistency: float = 0.0,
    smooth_samples: int | None = None,
    smooth_noise: float | None = None,
    score_channels: int | None = None,
    seed: int | None = None,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write raw evidence for every class and tile, and note which class a slide's evidence is of.

    Training slides show their true class, validation and test slides the predicted one (as
    classify_tiles pools it); the negative class is never shown.

    Where `consistency` is above 0, that share of a cam is what the training images say of
    locations that look alike (lib/evidence/consistency.py); the logits, and with them the class,
    are the classifier's whatever the method. The lowest and highest evidence of the slide are
    noted, so that later stages can scale it without a second look; GrabCut's is 0 or 1 as it is.
    A setting that is left out is of another method (lib/evidence/cam_makers.py has all). Maps of
    `glands` are cut from those of map_glands, the same for every class.
    """
    placed = in_fold(read_table(splits), fold)
    where = prepare(device, threads=threads)
    trained = classifier.with_suffix("")
    pooled = evidence.with_suffix("") if evidence else None

    @functools.cache  # once for the shard, and only if a slide needs it
    def network() -> CamMaker:
        model = Classifier.load(trained).to(where, memory_format=torch.channels_last)
        return CamMaker(
            model,
            cam,
            scales=scales,
            flips=flips,
            evidence=Evidence.load(pooled) if pooled else None,
            consistency=consistency,
            seed=seed,
            smooth_samples=smooth_samples,
            smooth_noise=smooth_noise,
            score_channels=score_channels,
        )

    def work(slide: Slide, folder: Path) -> dict:
        store, maker = Tiles(tiles.parent / slide.slide / "tiles.zarr"), network()
        side = store.attrs["tile_px"]
        check_tiles(
            f"The classifier of fold {fold}",
            expects=(maker.classifier.tile_px, maker.classifier.mpp),
            tiles=(side, store.attrs["mpp"]),
        )
        cut = GlandTiles(glands.parent / slide.slide, store) if glands else None
        shape = (len(classes), *cut.shape) if cut else maker.shape(side, where)
        tally = CamTally(len(store), len(classes))
        found = infer(maker, store.batch, len(store), batch=batch, device=where, beside=cut)
        group = create_group(folder / "cams.zarr", {"classes": classes, "fold": fold})
        array = create_rows(group, "cams", (len(store), *shape), "float16")
        append_rows(array, tally.watch((rows, *maker.split(flat, shape)) for rows, flat in found))
        write_rows(group, "logits", tally.logits)
        shown, why = evidence_class(
            _pool(tally.logits[~store.bad], pooling, classes, negative),
            classes,
            label=slide.label if placed[slide.slide]["split"] == "train" else None,
            negative=negative,
        )
        low, high = tally.span(classes.index(shown), ~store.bad)
        low = 0.0 if cam == "grabcut" else low
        log.info("%s: evidence of %s (%s), %.3g to %.3g.", slide.slide, shown, why, low, high)
        facts = {"tiles": len(store), "cam": cam, "class": shown, "why": why}
        return facts | {"low": low, "high": high}

    made_of = [tiles.parent, splits, trained, *([pooled] if pooled else [])]
    made_of += [glands.parent] if glands else []
    visit(cams, shard, work, upstream=made_of, only=placed)


def _pool(
    logits: np.ndarray, pooling: Pooling, classes: list[str], negative: str | None
) -> np.ndarray:
    """Class probabilities (C,) of a slide; those of a uniform guess where it has no tile."""
    if not len(logits):
        return np.full(len(classes), 1 / len(classes))
    index = classes.index(negative) if negative in classes else None
    return pool_tiles(softmax(logits, axis=1), pooling, negative=index)


if __name__ == "__main__":
    run(make_cams, globals().get("snakemake"))
