"""Refine masks: a probability for every pixel of the validation and test slides."""

import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from workflow.lib.cohort.folds import in_fold
from workflow.lib.cohort.sheet import Slide
from workflow.lib.evidence.cams import RELATIVE, open_evidence, scale_of, shrink, upsample
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.names import SPREADING, UNLEARNT
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import read_table
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.refiners import BLIND, Refiner, load_refiner, make_refiner
from workflow.lib.tiles.codes import to_codes
from workflow.lib.tiles.inference import check_tiles, infer
from workflow.lib.tiles.stores import Tiles, append_rows, create_group, create_rows

log = logging.getLogger(__name__)


def refine_masks(
    tiles: Path,
    cams: Path,
    splits: Path,
    classifier: Path,
    decoder: Path | None,
    refined: Path,
    *,
    shard: Shard,
    fold: int,
    method: str,
    downsample: int,
    cam_scale: str | None = None,
    evidence_share: float = 0.0,
    morphology: dict | None = None,
    crf: dict | None = None,
    irn: dict | None = None,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write what `method` makes of the validation and test slides, tile by tile.

    `none` is the scaled and upsampled cam itself: a probability, or, scaled by `minmax`, evidence
    relative to the slide, and so is what `morphology`, `crf` and `irn` make of it, and a further
    method of make_cams under its own name. Any other method gives probabilities that it has learnt;
    where `evidence_share` is above 0, that share of them is the evidence itself.
    A tile that could not be read has probability 0.
    """
    only = set(in_fold(read_table(splits), fold, "val", "test"))
    if (method in UNLEARNT) != (decoder is None):
        raise ValueError(f"method {method} comes {'with' if decoder else 'without'} a decoder")
    where, spreads = prepare(device, threads=threads), method in SPREADING
    sees = spreads or evidence_share > 0
    settings = {"morphology": morphology, "crf": crf, "irn": irn}.get(method) or {}
    masks = [] if decoder is None else manifest(decoder.with_suffix(""))["facts"]["masks"]

    @functools.cache  # once for the shard, and only if a slide needs it
    def network() -> Classifier:
        return Classifier.load(classifier.with_suffix(""))

    @functools.cache
    def refiner(mpp: float) -> Refiner:
        if decoder is None:
            return make_refiner(method, settings, mpp=mpp)
        identity = manifest(classifier.with_suffix(""))["recipe"]
        learnt = decoder.with_suffix("")
        return load_refiner(method, settings, learnt, network(), trained_on=identity, device=where)

    def maps(slide: Slide, store: Tiles) -> Iterator[np.ndarray]:
        side, mpp = store.attrs["tile_px"], store.attrs["mpp"]
        read = open_evidence(cams.parent / slide.slide, cam_scale) if sees else None
        if method in BLIND:
            for start in range(0, len(store), batch):
                part = upsample(read(slice(start, start + batch)), side)
                yield shrink(refiner(mpp)(None, part), downsample).numpy()
            return
        if decoder is not None:
            made_for = (network().tile_px, network().mpp)
            check_tiles(f"The decoder of fold {fold}", expects=made_for, tiles=(side, mpp))

        def judge(pixels: torch.Tensor, evidence: torch.Tensor | None = None) -> torch.Tensor:
            if spreads:
                return refiner(mpp)(pixels, evidence)
            learnt = refiner(mpp)(pixels)
            return torch.lerp(learnt, evidence.to(learnt), evidence_share) if sees else learnt

        found = infer(
            lambda *given: shrink(judge(*given), downsample),
            store.batch,
            len(store),
            batch=batch,
            device=where,
            beside=(lambda rows: upsample(read(rows), side)) if sees else None,
        )
        yield from (block for _, block in found)

    def work(slide: Slide, folder: Path) -> dict:
        store = Tiles(tiles.parent / slide.slide / "tiles.zarr")

        def codes() -> Iterator[np.ndarray]:
            start = 0
            for block in maps(slide, store):
                block[store.bad[start : start + len(block)]] = 0.0
                start += len(block)
                yield to_codes(block)

        attrs = {"downsample": downsample, "method": method, "fold": fold}
        group = create_group(folder / "refined.zarr", attrs)
        side = store.attrs["tile_px"] // downsample
        append_rows(create_rows(group, "probability", (len(store), side, side), "uint16"), codes())
        log.info("%s: %d tiles refined by %s.", slide.slide, len(store), method)
        facts = manifest(cams.parent / slide.slide)["facts"]
        relative = sees and scale_of(facts["cam"], cam_scale) in RELATIVE
        quantity = "evidence" if relative else "probability"
        return {"tiles": len(store), "class": facts["class"], "quantity": quantity, "masks": masks}

    made_from = [tiles.parent, cams.parent] + ([decoder.with_suffix("")] if decoder else [])
    visit(refined, shard, work, upstream=made_from, only=only)


if __name__ == "__main__":
    run(refine_masks, globals().get("snakemake"))
