"""Train a U-Net from pixel masks: the comparison that methods without masks are held against."""

import shutil
from pathlib import Path
from typing import Literal

from workflow.lib.classifiers import Classifier
from workflow.lib.devices import choose_precision, prepare
from workflow.lib.fitting import fit
from workflow.lib.job import run
from workflow.lib.known_truth import check_truth, known_truth
from workflow.lib.mask_lessons import MaskLesson
from workflow.lib.resuming import make_key
from workflow.lib.shard import Shard, commit
from workflow.lib.tables import read_table, write_table
from workflow.lib.truth_bags import open_truth_bag
from workflow.lib.unets import Encoder, UNet
from workflow.lib.units import manifest, usable

CHOSEN_BY = {
    True: "lowest validation loss, of pixels by their masks",
    False: "the last epoch, when the learning rate has come down to zero",
}


def train_unet(
    tiles: list[Path],
    splits: Path,
    classifier: Path,
    decoder: Path,
    *,
    shard: Shard,
    fold: int,
    negative: str | None,
    encoder: Encoder,
    context_px: int,
    border_weight: float,
    border_sigma_px: float,
    choose_by: Literal["last_epoch", "validation_loss"],
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
    """Write the U-Net of `fold`: weights, what they are, and the curves of their training.

    It learns from the pixel masks of the training slides, which is what every other method does
    without: its facts list them, and those of the validation slides where these chose the epoch.
    """
    trained, folder = classifier.with_suffix(""), tiles[0].parent
    placed = {row["slide"]: row for row in read_table(splits) if int(row["fold"]) == fold}
    placed = {slide: row for slide, row in placed.items() if row["split"] != "test"}
    border = {"border_weight": border_weight, "border_sigma_px": border_sigma_px}
    files = {slide: shard.recipe["slides"].get(slide) for slide in sorted(placed)}

    def make(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        used = choose_precision(precision, where)
        model = UNet(Classifier.load(trained), encoder=encoder, context_px=context_px)
        bags, read, warnings = [], [], []
        for split in ("train", "val"):
            names = usable(folder, [s for s, row in placed.items() if row["split"] == split])
            members = [slide for slide in shard.slides if slide.slide in names]
            masks, unknown = known_truth(members, negative)
            bag, faulty = open_truth_bag(folder, masks, work / split, **border)
            bags.append(bag)
            read.append(sorted(masks))
            warnings += [*unknown, *faulty]
        check_truth("unet", fold, bags[0].masks, bags[0].counts)
        lesson = MaskLesson(
            model,
            *bags,
            batch_size=batch_size,
            augmentation=augment,
            precision=used,
            device=where,
        )
        patience = epochs if choose_by == "validation_loss" else None  # all epochs, the best kept
        outcome = fit(
            lesson,
            lesson.groups(learning_rate, weight_decay),
            epochs=epochs,
            patience=patience,
            seed=seed,
            work=work,
            key=make_key(shard.recipe, placed, [folder, trained], files, used, fold),
        )
        curves = outcome.pop("curves")
        write_table(unit / "curves.tsv", curves[0], curves)
        chosen = outcome["validated"]
        facts = {
            "best_epoch": outcome["best_epoch"],
            "chosen_by": CHOSEN_BY[chosen],
            "precision": used,
            "masks": sorted(bags[0].masks + bags[1].masks * chosen),
            "warning": " ".join(warnings),
        }
        made = {"method": "unet", "settings": shard.recipe["settings"], "fold": fold}
        model.cpu().save(unit, {**facts, **made}, trained_on=manifest(trained)["recipe"])
        return {**facts, "trained_on": read[0], "chosen_on": read[1]}

    commit(decoder, shard, make, upstream=[splits, folder, trained], only=set(placed))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run(train_unet, globals().get("snakemake"))
