"""Refine masks: a probability for every pixel of the validation and test slides."""

import functools
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from workflow.lib.cams import CAMS, scale_of, shrink, slide_evidence, upsample
from workflow.lib.classifiers import Classifier
from workflow.lib.codes import to_codes
from workflow.lib.decoders import Decoder, load_decoder
from workflow.lib.devices import prepare
from workflow.lib.inference import check_tiles, infer
from workflow.lib.job import run
from workflow.lib.shard import Shard, visit
from workflow.lib.sheet import Slide
from workflow.lib.stores import Tiles, append_rows, create_group, create_rows, open_group
from workflow.lib.tables import read_table
from workflow.lib.units import manifest

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
    cam_scale: str,
    device: str,
    batch: int,
    threads: int,
) -> None:
    """Write what `method` makes of the validation and test slides, tile by tile.

    `none` is the scaled and upsampled cam itself: a probability, or, scaled by `minmax`, evidence
    relative to the slide. So is a further method of make_cams, under its own name. Any other method
    is its decoder's foreground probability. A tile that could not be read has probability 0.
    """
    placed = [row for row in read_table(splits) if int(row["fold"]) == fold]
    only = {row["slide"] for row in placed if row["split"] != "train"}
    if (method in ("none", *CAMS)) != (decoder is None):
        raise ValueError(f"method {method} comes {'with' if decoder else 'without'} a decoder")
    where = prepare(device, threads=threads)
    source = cams.parent if decoder is None else decoder.with_suffix("")

    @functools.cache  # once for the shard, and only if a slide needs it
    def network() -> Decoder:
        trained = classifier.with_suffix("")
        identity = manifest(trained)["recipe"]
        model = load_decoder(source, Classifier.load(trained), trained_on=identity)
        return model.to(where, memory_format=torch.channels_last)

    def from_cams(slide: Slide, store: Tiles) -> Iterator[np.ndarray]:
        group = open_group(source / slide.slide / "cams.zarr")
        classes, facts = group.attrs["classes"], manifest(source / slide.slide)["facts"]
        for start in range(0, len(store), batch):
            block = group["cams"][start : start + batch]
            evidence = slide_evidence(block, classes, facts, scale=cam_scale)
            yield shrink(upsample(evidence, store.attrs["tile_px"]), downsample).numpy()

    def from_decoder(store: Tiles) -> Iterator[np.ndarray]:
        made_for = network().classifier
        check_tiles(
            f"The decoder of fold {fold}",
            expects=(made_for.tile_px, made_for.mpp),
            tiles=(store.attrs["tile_px"], store.attrs["mpp"]),
        )

        def refine(pixels: torch.Tensor) -> torch.Tensor:
            return shrink(network().probability(pixels), downsample)

        for _, maps in infer(refine, store.batch, len(store), batch=batch, device=where):
            yield maps

    def work(slide: Slide, folder: Path) -> dict:
        store = Tiles(tiles.parent / slide.slide / "tiles.zarr")
        maps = from_cams(slide, store) if decoder is None else from_decoder(store)

        def codes() -> Iterator[np.ndarray]:
            start = 0
            for block in maps:
                block[store.bad[start : start + len(block)]] = 0.0
                start += len(block)
                yield to_codes(block)

        attrs = {"downsample": downsample, "method": method, "fold": fold}
        group = create_group(folder / "refined.zarr", attrs)
        side = store.attrs["tile_px"] // downsample
        append_rows(create_rows(group, "probability", (len(store), side, side), "uint16"), codes())
        log.info("%s: %d tiles refined by %s.", slide.slide, len(store), method)
        facts = manifest(cams.parent / slide.slide)["facts"]
        relative = decoder is None and scale_of(facts["cam"], cam_scale) == "minmax"
        quantity = "evidence" if relative else "probability"
        return {"tiles": len(store), "class": facts["class"], "quantity": quantity}

    made_from = [tiles.parent, cams.parent] + ([] if decoder is None else [source])
    visit(refined, shard, work, upstream=made_from, only=only)


if __name__ == "__main__":
    run(refine_masks, globals().get("snakemake"))
