"""Train a support vector machine on labelled pixels: the floor that every network has to beat."""

from pathlib import Path

import numpy as np

from workflow.lib.cohort.folds import in_fold
from workflow.lib.jobs.devices import prepare
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard, commit
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import usable
from workflow.lib.refine.known_truth import check_truth, known_truth
from workflow.lib.refine.pixel_samples import describe_places, draw_places
from workflow.lib.refine.svm_fitting import fit_svm
from workflow.lib.tiles.stores import Tiles


def train_svm(
    tiles: list[Path],
    splits: Path,
    decoder: Path,
    *,
    shard: Shard,
    fold: int,
    negative: str | None,
    max_pixels: int,
    search_pixels: int,
    folds: int,
    gamma: list[float],
    cost: list[float],
    foreground_weight: list[float],
    illumination_um: float,
    step_px: int,
    seed: int,
    device: str,
    threads: int,
) -> None:
    """Write the machine of `fold`, and how each choice of its parameters did.

    It learns from pixels of the training slides under their masks, which is what other methods do
    without: its facts list them. Classes have as many pixels each, and slides as far as they can.
    """
    folder = tiles[0].parent
    training = in_fold(read_table(splits), fold, "train")
    patients = {slide: row["patient"] for slide, row in training.items()}

    def make(unit: Path) -> dict:
        where, rng = prepare(device, threads=threads, seed=seed), np.random.default_rng(seed)
        names = usable(folder, patients)
        masks, unknown = known_truth([s for s in shard.slides if s.slide in names], negative)
        drawn, faulty = draw_places(folder, masks, max_pixels, rng)
        read = [slide for slide, places in drawn.items() if masks[slide] and any(map(len, places))]
        counts = [sum(len(places[kind]) for places in drawn.values()) for kind in (0, 1)]
        check_truth("svm", fold, read, np.array(counts))
        illumination_px = illumination_um / Tiles(folder / read[0] / "tiles.zarr").attrs["mpp"]
        model, grid, chosen_by = fit_svm(
            describe_places(folder, drawn, patients, illumination_px=illumination_px, device=where),
            gamma=gamma,
            cost=cost,
            foreground_weight=foreground_weight,
            folds=folds,
            search_pixels=search_pixels,
            illumination_px=illumination_px,
            step_px=step_px,
            seed=seed,
            threads=threads,
        )
        write_table(unit / "cross_validation.tsv", grid[0], grid)
        facts = {
            "chosen_by": chosen_by,
            "precision": "fp32",
            "masks": read,
            "pixels": sum(counts),
            "warning": " ".join([*unknown, *faulty]),
        }
        made = {"method": "svm", "settings": shard.recipe["settings"], "fold": fold}
        model.save(unit, {**facts, **made})
        return {**facts, "trained_on": sorted(masks), "chosen_on": []}

    commit(decoder, shard, make, upstream=[splits, folder], only=set(patients))


if __name__ == "__main__":
    run(train_svm, globals().get("snakemake"))
