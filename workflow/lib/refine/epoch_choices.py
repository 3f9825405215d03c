"""Which epoch places best, by the pixels of a few validation slides: selection with masks.

B-LOC of the papers on localisation from image labels (Rony et al. 2019; NEGEV, Belharbi et al.,
MIDL 2022): of all epochs the one with the highest PxAP on some validation images whose pixels are
known, 6 of GlaS and 10 of CAMELYON16, as many of each class. Whoever chooses so says how many
masks were looked at; the default looks at none.
"""

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.measures.pixel_metrics import BINS, histograms, pxap
from workflow.lib.refine.drawn_slides import draw_slides, with_tiles
from workflow.lib.refine.known_truth import known_masks
from workflow.lib.refine.objects import tile_instances
from workflow.lib.tiles.bags import TileBag, open_bag
from workflow.lib.tiles.codes import to_codes
from workflow.lib.tiles.shards import Shards
from workflow.lib.tiles.stores import Tiles, append_rows, create_group, create_rows

log = logging.getLogger(__name__)

# (slide, read(indices) -> its tiles, how many) -> rows and maps (B, t, t) in 0..1 of these tiles
Show = Callable[
    [str, Callable[[Sequence[int]], np.ndarray], int], Iterable[tuple[slice, np.ndarray]]
]


class EpochChoice:
    """The readable tiles of slides whose pixels are known, and what is true of them.

    truth: (N, t, t) uint8 of the readable tiles of each slide of `tiles`, nonzero on foreground
    masks: the slides that are known from a mask; the others are of the negative class
    warnings: sentences on slides that were drawn and cannot be used
    """

    def __init__(
        self,
        tiles: TileBag,
        truth: Sequence[Shards],
        *,
        masks: Sequence[str],
        warnings: Sequence[str] = (),
    ) -> None:
        self.tiles, self.truth = tiles, truth
        self.masks, self.warnings = list(masks), list(warnings)
        count = len(tiles.slides)
        self.chosen_by = f"highest PxAP on {count} validation slides whose pixels are known"

    def facts(self) -> dict:
        """What a manifest says of an epoch that was chosen so."""
        about = {"chosen_on": self.tiles.slides, "chosen_by": self.chosen_by}
        return about | {"masks": self.masks}

    def pxap(self, show: Show) -> float:
        """PxAP in percent of what `show` gives, the pixels of all tiles in one pool."""
        counts, slides = np.zeros((2, BINS), np.int64), self.tiles.slide.numpy()
        for index, slide in enumerate(self.tiles.slides):
            own = np.flatnonzero(slides == index)
            read = lambda at, own=own: self.tiles.read(own[np.asarray(at)])  # noqa: E731
            for rows, maps in show(slide, read, len(own)):
                counts += histograms(to_codes(maps), self.truth[index][rows])
        found = float(pxap(counts))
        log.info("PxAP %.1f on %d validation slides.", found, len(self.tiles.slides))
        return found


def open_choice(
    tiles: Path,
    slides: Iterable[Slide],
    placed: Mapping[str, Mapping],
    folder: Path,
    *,
    negative: str | None,
    count: int,
    seed: int,
    fold: int,
) -> EpochChoice:
    """`count` of the validation slides of a fold, drawn of those whose pixels are known.

    tiles: a stage folder; slides: of the sheet; placed: rows of splits.tsv of the fold by slide.
    Truth is written into `folder`, which is emptied first: it can be larger than memory. A slide of
    the class `negative` needs no mask. One that is drawn and whose mask cannot be used is left out
    with a warning.
    Raises ValueError, naming `fold` and the remedy, where no foreground is left to look for.
    """
    held = {s for s, row in placed.items() if row["split"] == "val"}
    masks = known_masks([slide for slide in slides if slide.slide in held], negative)
    there = {slide: placed[slide]["label"] for slide in with_tiles(tiles, masks)}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    group, marked = create_group(folder / "truth.zarr"), 0
    truth, warnings = {}, []
    for slide in draw_slides(there, count, seed=seed):
        store = Tiles(tiles / slide / "tiles.zarr")
        side, readable = store.attrs["tile_px"], int((~store.bad).sum())
        rows = create_rows(group, slide, (readable, side, side), "uint8")
        try:
            append_rows(rows, _truth(masks[slide], store))
        except ValueError as error:
            warnings.append(f"{slide} has no say in the choice of the epoch: {error}.")
            log.warning(warnings[-1])
            continue
        truth[slide] = Shards(folder / "truth.zarr" / slide)
        marked += sum(int(np.count_nonzero(truth[slide][row])) for row in range(readable))
    if not marked:
        raise ValueError(
            f"Fold {fold} has no validation slide with foreground in a pixel mask among those that "
            f"choose its epoch ({', '.join(truth) or 'none is known'}); give masks in the column "
            "mask of the sheet, look at more of them (masks), or set choose_by to labels"
        )
    bag = open_bag(tiles, dict.fromkeys(truth, 0))
    own = [slide for slide in bag.slides if masks[slide]]
    return EpochChoice(bag, [truth[s] for s in bag.slides], masks=own, warnings=warnings)


def _truth(mask: Path | None, store: Tiles) -> Iterator[np.ndarray]:
    """What is foreground in each readable tile, (1, t, t) uint8."""
    for row, objects in enumerate(tile_instances(mask, store)):
        if not store.bad[row]:
            yield (objects > 0).astype(np.uint8)[None]
