"""Say what each tile of a slide shows: by evidence, or by what somebody marked on the slide."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np

from workflow.lib.folds import in_fold
from workflow.lib.job import run
from workflow.lib.shard import Shard, visit
from workflow.lib.sheet import Slide
from workflow.lib.stores import Tiles, create_group, open_group, write_rows
from workflow.lib.tables import read_table
from workflow.lib.tile_labels import UNUSED, label_by_evidence, label_by_share, marked_shares
from workflow.lib.truth import read_mask

log = logging.getLogger(__name__)


def label_tiles(
    tiles: Path,
    splits: Path,
    bag_scores: Path | None,
    tile_labels: Path,
    *,
    shard: Shard,
    fold: int,
    level: str,
    classes: list[str],
    negative: str | None,
    annotated_share: float,
    top_share: float,
    bottom_share: float,
) -> None:
    """Write a class for every tile, -1 for one that nothing is learnt from.

    At level `slide` by evidence (workflow/lib/tile_labels.py), for the training and validation
    slides of the fold, from the scores of the fold's own aggregator. At level `annotation` by the
    pixel mask of the slide, whose marks count for the slide's class, for all slides of the fold:
    on test slides it is what the classifier is measured against. A slide of the negative class
    needs no mask. Nothing is learnt from another slide whose mask is missing or cannot be used; a
    warning names it.
    """
    placed, by_evidence = in_fold(read_table(splits), fold), level == "slide"
    only = {s for s, row in placed.items() if not (by_evidence and row["split"] == "test")}
    none = classes.index(negative) if negative else None

    def from_evidence(slide: Slide, store: Tiles) -> np.ndarray:
        group = open_group(bag_scores.parent / slide.slide / "bag_scores.zarr")
        if (group.attrs["classes"], group.attrs["fold"]) != (classes, fold):
            raise ValueError(
                f"{slide.slide} has bag scores of fold {group.attrs['fold']} for "
                f"{group.attrs['classes']}, but fold {fold} and {classes} are expected: score its "
                "bag again"
            )
        return label_by_evidence(
            group["evidence"][:],
            ~store.bad,
            label=classes.index(slide.label),
            negative=none,
            top_share=top_share,
            bottom_share=bottom_share,
        )

    def from_mask(slide: Slide, store: Tiles) -> np.ndarray:
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
        if by_evidence:
            labels = from_evidence(slide, store)
        elif slide.label == negative:
            labels = np.where(store.bad, UNUSED, none)
        else:
            try:
                if slide.mask is None:
                    raise ValueError("it has no mask")
                labels, from_a_mask = from_mask(slide, store), True
            except ValueError as error:
                log.warning("Nothing is learnt from the tiles of %s: %s.", slide.slide, error)
                labels = np.full(len(store), UNUSED)
        group = create_group(folder / "tile_labels.zarr", {"classes": classes, "fold": fold})
        write_rows(group, "labels", labels.astype(np.int16))
        found = Counter(classes[label] for label in labels[labels != UNUSED])
        counted = {name: found[name] for name in classes}
        said = ", ".join(f"{count} {name}" for name, count in counted.items())
        log.info("%s (%s): of %d tiles %s.", slide.slide, slide.label, len(store), said)
        return {"tiles": len(store), "labelled": counted, "mask": from_a_mask}

    made_of = [tiles.parent, splits, *([bag_scores.parent] if by_evidence else [])]
    visit(tile_labels, shard, work, upstream=made_of, only=only)


if __name__ == "__main__":
    run(label_tiles, globals().get("snakemake"))
