"""Find the tissue of each slide of a shard."""

import logging
import math
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
from workflow.lib.slides.tissue import mask_tissue as find_tissue
from workflow.lib.slides.truth import read_mask

log = logging.getLogger(__name__)


def mask_tissue(
    checks: Path,
    tissue: Path,
    *,
    shard: Shard,
    scratch: Path | None,
    mask_mpp: float,
    min_area_um2: float,
    close_um: float,
    saturation_floor: float,
) -> None:
    """Write the tissue mask of each slide and the thumbnail that it was found on.

    Where the sheet names a tissue file, the mask is read from it instead.
    """

    def work(slide: Slide, folder: Path) -> dict:
        mpp = manifest(checks.parent / slide.slide)["facts"]["mpp"]
        with staged(slide.path, scratch) as file, open_reader(file, mpp=mpp) as reader:
            shape_px0 = (reader.height_px0, reader.width_px0)
            thumbnail = reader.thumbnail(max(1, math.ceil(max(shape_px0) * mpp / mask_mpp)))
        found_mpp = mpp * max(shape_px0) / max(thumbnail.shape)
        if slide.tissue:
            mask = _given(slide, shape_px0, thumbnail.shape[:2])
        else:
            mask = find_tissue(
                thumbnail,
                mask_mpp=found_mpp,
                min_area_um2=min_area_um2,
                close_um=close_um,
                saturation_floor=saturation_floor,
            )
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "tissue.png")
        Image.fromarray(thumbnail).save(folder / "thumbnail.jpg", quality=90, subsampling=0)
        fraction = float(mask.mean())
        source = f"as {slide.tissue.name} says" if slide.tissue else "found by its colour"
        log.info("%s: %.1f%% of it is tissue, %s.", slide.slide, 100 * fraction, source)
        return {"mask_mpp": found_mpp, "tissue_fraction": fraction}

    visit(tissue, shard, work, upstream=[checks.parent])


def _given(slide: Slide, shape_px0: tuple[int, int], out_shape: tuple[int, int]) -> np.ndarray:
    try:
        return read_mask(slide.tissue, shape_px0=shape_px0, out_shape=out_shape) > 0
    except ValueError as error:
        raise Quarantine("E_MASK", f"{slide.slide}: {error}.") from error


if __name__ == "__main__":
    run(mask_tissue, globals().get("snakemake"))
