"""Train RPNet: the decoder of one fold, which compares tiles with what other slides look like."""

import shutil
from pathlib import Path

from workflow.lib.classifiers import Classifier
from workflow.lib.devices import choose_precision, prepare
from workflow.lib.fitting import fit
from workflow.lib.job import run
from workflow.lib.region_decoders import RegionDecoder
from workflow.lib.region_lessons import RegionLesson
from workflow.lib.resuming import make_key
from workflow.lib.seed_bags import open_seed_bag
from workflow.lib.seed_lessons import make_sampler
from workflow.lib.shard import Shard, commit
from workflow.lib.tables import read_table, write_table
from workflow.lib.units import manifest

CHOSEN_BY = "the last epoch, when the learning rate has come down to zero"


def train_rpnet(
    tiles: list[Path],
    cams: list[Path],
    splits: Path,
    classifier: Path,
    decoder: Path,
    *,
    shard: Shard,
    fold: int,
    negative: str | None,
    cam_scale: str,
    foreground: float,
    background: float,
    resolutions: int,
    dim: int,
    prototypes: int,
    temperature: float,
    consistency_weight: float,
    foreground_pixels: int,
    background_pixels: int,
    dilate_px: int,
    seed_weight: float,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    precision: str,
    weight_decay: float,
    augment: dict,
    seed: int,
    device: str,
    threads: int,
    work: Path,
) -> None:
    """Write the decoder of `fold`: weights, prototypes, what they are, and the curves.

    It learns from the cams and the labels of the training slides, and the prototypes that it keeps
    for other slides are theirs alone. No pixel mask takes part, not in choosing the epoch either.
    """
    trained, evidence = classifier.with_suffix(""), cams[0].parent
    placed = {row["slide"]: row for row in read_table(splits) if int(row["fold"]) == fold}
    placed = {slide: row for slide, row in placed.items() if row["split"] != "test"}
    seeding = {
        "foreground_pixels": foreground_pixels,
        "background_pixels": background_pixels,
        "dilate_px": dilate_px,
    }

    def make(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        used = choose_precision(precision, where)
        model = RegionDecoder(
            Classifier.load(trained),
            resolutions=resolutions,
            dim=dim,
            prototypes=prototypes,
            temperature=temperature,
        )
        reading = {"negative": negative, "cam_scale": cam_scale}
        training, validation = (
            open_seed_bag(tiles[0].parent, evidence, placed, split, **reading)
            for split in ("train", "val")
        )
        if not len(training.tiles):
            raise ValueError(
                f"Fold {fold} has no training tile; verdicts.tsv and the log of tile_slide say why"
            )
        lesson = RegionLesson(
            model,
            training,
            validation,
            make_sampler(seeds="cam", background="intended", **seeding),
            labels={slide: row["label"] for slide, row in placed.items()},
            foreground=foreground,
            background=background,
            consistency_weight=consistency_weight,
            seed_weight=seed_weight,
            batch_size=batch_size,
            augmentation=augment,
            precision=used,
            seed=seed,
            device=where,
        )
        outcome = fit(
            lesson,
            lesson.groups(learning_rate, weight_decay),
            epochs=epochs,
            patience=None,  # seeds are noisy: their loss says little about which epoch places best
            seed=seed,
            work=work,
            key=make_key(shard.recipe, placed, [evidence], used, fold),
        )
        lesson.fill_bank()
        curves = outcome.pop("curves")
        write_table(unit / "curves.tsv", curves[0], curves)
        facts = {"best_epoch": outcome["best_epoch"], "chosen_by": CHOSEN_BY, "precision": used}
        made = {"method": "rpnet", "settings": shard.recipe["settings"], "fold": fold}
        model.cpu().save(unit, {**facts, **made}, trained_on=manifest(trained)["recipe"])
        learnt_from = {"trained_on": training.tiles.slides, "chosen_on": validation.tiles.slides}
        return {**facts, **learnt_from, "masks": []}

    # The evidence stands for what it was made from: tiles and classifier.
    commit(decoder, shard, make, upstream=[splits, evidence], only=set(placed))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run(train_rpnet, globals().get("snakemake"))
