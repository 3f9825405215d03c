"""Tiles of a fold with the maps that their seeds are drawn from: cams or pseudo-masks."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from workflow.lib.evidence.cams import is_flat, open_evidence, upsample
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.tiles.bags import TileBag, open_bag
from workflow.lib.tiles.shards import Shards

log = logging.getLogger(__name__)

Read = Callable[[slice], torch.Tensor]


class SeedBag:
    """Tiles with the maps that their seeds are drawn from.

    tiles: labelled 1 where the slide is of the fully negative class, else 0.
    maps(indices) -> (B, t, t): evidence in 0..1, or pseudo-masks where `thinned` is False.
    """

    def __init__(
        self, tiles: TileBag, maps: Callable[[torch.Tensor], torch.Tensor], *, thinned: bool
    ) -> None:
        self.tiles, self.maps, self.thinned = tiles, maps, thinned
        self.negative = tiles.label.bool()


def cam_bag(tiles: TileBag, evidence: Sequence[Read], tile_px: int) -> SeedBag:
    """Seeds from cams: `evidence` reads rows of (N, h, w) float in 0..1 for each slide of `tiles`.

    It is read as it is needed, as tiles are: memory does not grow with the cohort.
    """

    def maps(indices: torch.Tensor) -> torch.Tensor:
        where = zip(tiles.slide[indices].tolist(), tiles.row[indices.numpy()], strict=True)
        found = [evidence[slide](slice(row, row + 1)) for slide, row in where]
        return upsample(torch.cat(found), tile_px)

    return SeedBag(tiles, maps, thinned=True)


def mask_bag(tiles: TileBag, masks: Sequence[Shards]) -> SeedBag:
    """Seeds from pseudo-masks: `masks` holds (N, t, t) uint8 for each slide of `tiles`."""

    def maps(indices: torch.Tensor) -> torch.Tensor:
        where = zip(tiles.slide[indices].tolist(), tiles.row[indices.numpy()], strict=True)
        return torch.from_numpy(np.stack([masks[slide][int(row)] for slide, row in where]))

    return SeedBag(tiles, maps, thinned=False)


def open_seed_bags(
    tiles: Path,
    evidence: Path,
    placed: Mapping[str, Mapping],
    *,
    fold: int,
    negative: str | None,
    cam_scale: str | None,
) -> tuple[SeedBag, SeedBag]:
    """The training and the validation slides, from their units in the folders given.

    placed: rows of splits.tsv by slide. cam_scale: how cams become evidence; None where
    `evidence` holds pseudo-masks. Slides whose unit is not usable are left out, and slides with a
    finding whose evidence has no contrast: it would all be taken for background.
    Raises ValueError, naming `fold`, when there is no training tile.
    """
    about = {"negative": negative, "cam_scale": cam_scale}
    bags = [_open(tiles, evidence, placed, split, **about) for split in ("train", "val")]
    if not len(bags[0].tiles):
        raise ValueError(
            f"Fold {fold} has no training tile; verdicts.tsv and the log of tile_slide say why"
        )
    return bags[0], bags[1]


def _open(
    tiles: Path,
    evidence: Path,
    placed: Mapping[str, Mapping],
    split: str,
    *,
    negative: str | None,
    cam_scale: str | None,
) -> SeedBag:
    slides = usable(evidence, [s for s, row in placed.items() if row["split"] == split])
    negatives = {slide: placed[slide]["label"] == negative for slide in slides}
    if cam_scale is not None:
        for slide in [slide for slide in slides if not negatives[slide]]:
            if is_flat(manifest(evidence / slide)["facts"], cam_scale):
                log.warning("%s is left out: its evidence has no contrast.", slide)
                del negatives[slide]
    bag = open_bag(tiles, negatives)
    log.info("%s: %d tiles of %d slides.", split, len(bag), len(bag.slides))
    if cam_scale is None:
        stores = [evidence / slide / "pseudo_masks.zarr" for slide in bag.slides]
        return mask_bag(bag, [Shards(store / "pseudo_masks") for store in stores])
    cams = [open_evidence(evidence / slide, cam_scale) for slide in bag.slides]
    return cam_bag(bag, cams, bag.stores[0].attrs["tile_px"] if bag.slides else 1)
