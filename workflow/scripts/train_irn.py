"""Train IRNet: where boundaries lie in the tiles of one fold, so that evidence can spread."""

import logging
import shutil
from pathlib import Path

from workflow.lib.affinity_labels import count_mixed, label_bag
from workflow.lib.affinity_lessons import AffinityLesson
from workflow.lib.classifiers import Classifier
from workflow.lib.devices import choose_precision, prepare
from workflow.lib.fitting import fit
from workflow.lib.irn import IRNet
from workflow.lib.job import run
from workflow.lib.random_fields import RandomField
from workflow.lib.resuming import make_key
from workflow.lib.seed_bags import open_seed_bag
from workflow.lib.shard import Shard, commit
from workflow.lib.tables import read_table, write_table
from workflow.lib.units import manifest

log = logging.getLogger(__name__)

CHOSEN_BY = "the last epoch, when the learning rate has come down to zero"
ONE_SIDED = (
    "No training tile of fold {fold} has both foreground and background labels, so IRNet cannot "
    "learn a boundary: bring train_irn.foreground and background closer, or switch random_field off"
)


def train_irn(
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
    random_field: bool,
    crf: dict | None = None,
    radius: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    displacement_learning_rate_factor: float,
    precision: str,
    weight_decay: float,
    augment: dict,
    seed: int,
    device: str,
    threads: int,
    work: Path,
) -> None:
    """Write the IRNet of `fold`: weights, what they are, and the curves of their training.

    It learns from the cams of the training slides, cut at two thresholds (drawn to the edges of
    the picture by the random field `crf` where `random_field` is on), and from the labels of the
    slides. No pixel mask takes part, not in choosing the epoch either.
    """
    trained, evidence = classifier.with_suffix(""), cams[0].parent
    placed = {row["slide"]: row for row in read_table(splits) if int(row["fold"]) == fold}
    placed = {slide: row for slide, row in placed.items() if row["split"] != "test"}
    reading = {"negative": negative, "cam_scale": cam_scale}
    cuts = {"foreground": foreground, "background": background}

    def make(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        used = choose_precision(precision, where)
        model = IRNet(Classifier.load(trained))
        field = RandomField(**crf, mpp=model.classifier.mpp) if random_field else None
        bags = []
        for split in ("train", "val"):
            bag = open_seed_bag(tiles[0].parent, evidence, placed, split, **reading)
            if split == "train" and not len(bag.tiles):
                raise ValueError(
                    f"Fold {fold} has no training tile; verdicts.tsv and the log of tile_slide "
                    "say why"
                )
            labels = label_bag(bag, **cuts, field=field, batch=batch_size, device=where)
            bags.append((bag.tiles, labels))
            log.info("%s: %d tiles hold foreground and background.", split, count_mixed(labels))
        warning = None if count_mixed(bags[0][1]) else ONE_SIDED.format(fold=fold)
        if warning:
            log.warning(warning)
        lesson = AffinityLesson(
            model,
            *bags,
            radius=radius,
            batch_size=batch_size,
            augmentation=augment,
            precision=used,
            device=where,
        )
        outcome = fit(
            lesson,
            lesson.groups(learning_rate, displacement_learning_rate_factor, weight_decay),
            epochs=epochs,
            patience=None,  # labels are cut from evidence: their loss says little of true edges
            seed=seed,
            work=work,
            key=make_key(shard.recipe, placed, [evidence], used, fold),
        )
        lesson.centre()
        curves = outcome.pop("curves")
        write_table(unit / "curves.tsv", curves[0], curves)
        facts = {"best_epoch": outcome["best_epoch"], "chosen_by": CHOSEN_BY, "precision": used}
        made = {"method": "irn", "settings": shard.recipe["settings"], "fold": fold}
        model.cpu().save(unit, {**facts, **made}, trained_on=manifest(trained)["recipe"])
        learnt_from = {"trained_on": bags[0][0].slides, "chosen_on": bags[1][0].slides}
        return {**facts, **learnt_from, "masks": [], "warning": warning}

    # The evidence stands for what it was made from: tiles and classifier.
    commit(decoder, shard, make, upstream=[splits, evidence], only=set(placed))
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    run(train_irn, globals().get("snakemake"))
