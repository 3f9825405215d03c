"""Say what each tile of a slide shows, by what somebody marked in the pixel mask of the slide."""

import logging
from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.slides.truth import read_mask
from workflow.lib.tiles.stores import Tiles
from workflow.lib.tiles.tile_labels import UNUSED, label_by_share, marked_shares, write_labels

log = logging.getLogger(__name__)

# So does a drawing at a lower level of the slide look: it lies in the corner, on the glass.
UNMARKED = (
    "%s: %s makes no tile of it %s; check that the mask is of this slide and in pixels of its full"
    " resolution, and that annotated_share is not more than it marks."
)


def mark_tiles(
    tiles: Path,
    tile_labels: Path,
    *,
    shard: Shard,
    classes: list[str],
    negative: str,
    annotated_share: float,
) -> None:
    """Write a class for every tile of every slide, -1 where nobody says what it shows.

    Marks count for the slide's class; a slide of the negative class needs no mask. Classifiers
    learn from the tiles of their training slides, and are measured against those they test. Nothing
    is known of another slide whose mask is missing or cannot be used; a warning names it.
    """
    none = classes.index(negative)

    def from_mask(slide: Slide, store: Tiles) -> np.ndarray:
        if slide.mask is None:
            raise ValueError("it has no mask")
        attrs = store.attrs
        shape = (attrs["height_px"], attrs["width_px"])
        about = {"shape_px0": (attrs["height_px0"], attrs["width_px0"]), "out_shape": shape}
        shares = marked_shares(
            lambda rows: read_mask(slide.mask, **about, scale=attrs["scale"], rows=rows),
            store.positions_px,
            tile_px=attrs["tile_px"],
            shape=shape,
        )
        given = {"label": classes.index(slide.label), "negative": none}
        return label_by_share(shares, ~store.bad, **given, least=annotated_share)

    def work(slide: Slide, folder: Path) -> dict:
        store, from_a_mask = Tiles(tiles.parent / slide.slide / "tiles.zarr"), False
        if slide.label == negative:
            labels = np.where(store.bad, UNUSED, none)
        else:
            try:
                labels, from_a_mask = from_mask(slide, store), True
                if len(store) and not (labels == classes.index(slide.label)).any():
                    log.warning(UNMARKED, slide.slide, slide.mask.name, slide.label)
            except ValueError as error:
                log.warning("Nothing is learnt from the tiles of %s: %s.", slide.slide, error)
                labels = np.full(len(store), UNUSED)
        counted = write_labels(folder, labels, classes)
        said = ", ".join(f"{count} {name}" for name, count in counted.items())
        log.info("%s (%s): of %d tiles %s.", slide.slide, slide.label, len(store), said)
        return {"tiles": len(store), "labelled": counted, "mask": from_a_mask}

    visit(tile_labels, shard, work, upstream=[tiles.parent])


if __name__ == "__main__":
    run(mark_tiles, globals().get("snakemake"))
