"""Cut the tissue of each slide of a shard into tiles."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.units import manifest
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.slides import open_reader
from workflow.lib.slides.staging import staged
from workflow.lib.slides.tiled_tiffs import read_directly
from workflow.lib.tiles.stores import create_tiles, write_rows
from workflow.lib.tiles.tile_pixels import blur_score, copy_tiles, read_tiles, why_not_copied
from workflow.lib.tiles.tiling import TileSpec, grid, origins, tissue_fraction

log = logging.getLogger(__name__)

MORE_READS = 200  # unreadable regions that a reader stands beyond those


def tile_slide(
    checks: Path,
    tissue: Path,
    tiles: Path,
    *,
    shard: Shard,
    scratch: Path | None,
    mpp: float,
    tile_px: int,
    stride_px: int,
    min_tissue: float,
    codec: str,
    quality: int,
    max_upsample: float,
    max_bad_tiles: float,
    half_db: float,
) -> None:
    """Write the tiles of each slide that hold at least `min_tissue` tissue, at exactly `mpp`.

    With codec "copy", tiles that the slide stores as such a JPEG are copied, and all others are
    encoded as with "jpeg". A tile that the file cannot deliver is white and marked bad; a slide
    with too many of them is quarantined.
    """

    def work(slide: Slide, folder: Path) -> dict:
        facts = manifest(checks.parent / slide.slide)["facts"]
        spec = TileSpec(
            width_px0=facts["width_px0"],
            height_px0=facts["height_px0"],
            slide_mpp=facts["mpp"],
            mpp=mpp,
            tile_px=tile_px,
            stride_px=stride_px,
        )
        spec.check_upsampling(max_upsample, slide=slide.slide)
        with Image.open(tissue.parent / slide.slide / "tissue.png") as image:
            mask = np.asarray(image) > 0
        positions = grid(spec)
        fraction = tissue_fraction(mask, spec, positions)
        kept = np.flatnonzero(fraction >= min_tissue)
        blur = np.zeros(len(kept), np.float32)
        bad, copied = np.zeros((2, len(kept)), bool)
        limit = _bad_limit(spec, len(kept), max_bad_tiles)
        # A bad tile costs two reads, with its neighbours and alone: `limit` ends it, not the reader
        reads = int(2 * limit) + MORE_READS
        through = partial(read_directly, half_db=half_db)
        with (
            staged(slide.path, scratch) as file,
            open_reader(file, mpp=facts["mpp"], max_bad_reads=reads, through=through) as reader,
        ):
            reason = why_not_copied(reader, spec) if codec == "copy" else None
            used = "jpeg" if reason else codec
            if used == "copy":
                read = copy_tiles(reader, spec, positions[kept])
            else:
                read = ((tile, None) for tile in read_tiles(reader, spec, positions[kept]))
            pixels = _pixels(slide, read, spec, blur, bad, copied, limit, max_bad_tiles)
            store = create_tiles(
                folder / "tiles.zarr",
                pixels,
                count=len(kept),
                tile_px=tile_px,
                codec=used,
                quality=quality,
            )
        store.attrs.update(spec.attributes())
        rows = {"origins": origins(spec, positions[kept]), "positions_px": positions[kept]}
        rows |= {"tissue": fraction[kept], "blur": blur, "bad": bad}
        for name, row in rows.items():
            write_rows(store, name, row)
        log.info(
            "%s: %d of %d tiles hold tissue, at %g um per pixel; %d unreadable. %s read it.",
            *(slide.slide, len(kept), len(positions), mpp, bad.sum(), reader.backend),
        )
        made = {
            "tiles": len(kept),
            "grid": len(positions),
            "kept": len(kept),
            "bad": int(bad.sum()),
            "mpp": mpp,
            "scale": spec.scale,
            "backend": reader.backend,
        }
        if codec == "copy":
            made |= {"codec": used, "copied": int(copied.sum()), "why_not_copied": reason}
            log.info(
                "%s: %d tiles are copied from it, the others encoded at quality %d%s.",
                *(slide.slide, copied.sum(), quality, f": {reason}" if reason else ""),
            )
        return made

    visit(tiles, shard, work, upstream=[checks.parent, tissue.parent])


def _bad_limit(spec: TileSpec, tiles: int, max_bad_tiles: float) -> float:
    """How many of the tiles of a slide may be unreadable."""
    # One damaged spot is tolerated on any slide: it touches 4 tiles, more where they overlap.
    spot = (spec.tile_px // spec.stride_px + 1) ** 2 if max_bad_tiles else 0
    return min(max(max_bad_tiles * tiles, spot), tiles / 2)


def _pixels(
    slide: Slide,
    read: Iterator[tuple[np.ndarray | None, bytes | None]],
    spec: TileSpec,
    blur: np.ndarray,
    bad: np.ndarray,
    copied: np.ndarray,
    limit: float,
    max_bad_tiles: float,
) -> Iterator[np.ndarray | bytes]:
    """The tiles in order, or their JPEGs where they have one; white where unreadable.

    What each is like is noted in `blur`, `bad` and `copied`.
    """
    for index, (tile, jpeg) in enumerate(read):
        if tile is None:
            bad[index] = True
            if bad.sum() > limit:
                raise Quarantine(
                    "E_TILE",
                    f"{slide.slide}: {bad.sum()} of the first {index + 1} tiles cannot be decoded,"
                    f" more than max_bad_tiles = {max_bad_tiles:g} of {len(bad)} allows.",
                )
            tile = np.full((spec.tile_px, spec.tile_px, 3), 255, np.uint8)
        else:
            blur[index] = blur_score(tile)
        copied[index] = jpeg is not None
        yield jpeg or tile


if __name__ == "__main__":
    run(tile_slide, globals().get("snakemake"))
