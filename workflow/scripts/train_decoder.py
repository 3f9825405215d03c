"""Train the decoder of one fold and method: from evidence on a few pixels to all of them."""

import logging
import shutil
from pathlib import Path

import torch

from workflow.lib.bags import open_bag
from workflow.lib.cams import slide_evidence
from workflow.lib.classifiers import Classifier
from workflow.lib.decoders import Decoder
from workflow.lib.devices import choose_precision, prepare
from workflow.lib.fitting import fit
from workflow.lib.job import run
from workflow.lib.resuming import make_key
from workflow.lib.seed_lessons import SeedBag, SeedLesson, cam_bag, make_sampler, mask_bag
from workflow.lib.shard import Shard, commit
from workflow.lib.stores import open_group
from workflow.lib.tables import read_table, write_table
from workflow.lib.units import manifest, usable

log = logging.getLogger(__name__)

SEEDING = ("seeds", "background", "foreground_pixels", "background_pixels", "dilate_px")
CHOSEN_BY = "the last epoch, when the learning rate has come down to zero"


def train_decoder(
    tiles: list[Path],
    cams: list[Path],
    pseudo_masks: list[Path],
    splits: Path,
    classifier: Path,
    decoder: Path,
    *,
    shard: Shard,
    fold: int,
    method: str,
    negative: str | None,
    cam_scale: str,
    negev: dict,
    seed: int,
    device: str,
    threads: int,
    work: Path,
) -> None:
    """Write the decoder of `fold`: weights, what they are, and the curves of their training.

    It learns from the cams of the training slides (`negev.seeds: cam`) or from their
    pseudo-masks, and from the labels of their slides. No pixel mask takes part, not in choosing
    the epoch either.
    """
    if method != "negev":
        raise ValueError(f"no decoder is trained for method {method!r}; the one there is: negev")
    folder, seen, trained = tiles[0].parent, cams[0].parent, classifier.with_suffix("")
    evidence = seen if negev["seeds"] == "cam" else pseudo_masks[0].parent
    placed = {row["slide"]: row for row in read_table(splits) if int(row["fold"]) == fold}
    placed = {slide: row for slide, row in placed.items() if row["split"] != "test"}

    def read_bag(split: str, tile_px: int) -> SeedBag:
        slides = usable(evidence, [s for s, row in placed.items() if row["split"] == split])
        bag = open_bag(folder, {slide: placed[slide]["label"] == negative for slide in slides})
        log.info("%s: %d tiles of %d slides.", split, len(bag), len(bag.slides))
        if evidence is seen:
            return cam_bag(bag, [_cams(seen / slide, cam_scale) for slide in bag.slides], tile_px)
        groups = [open_group(evidence / slide / "pseudo_masks.zarr") for slide in bag.slides]
        return mask_bag(bag, [group["pseudo_masks"] for group in groups])

    def make(unit: Path) -> dict:
        where = prepare(device, threads=threads, seed=seed)
        precision = choose_precision(negev["precision"], where)
        model = Decoder(Classifier.load(trained))
        bags = {split: read_bag(split, model.classifier.tile_px) for split in ("train", "val")}
        if not len(bags["train"].tiles):
            raise ValueError(
                f"Fold {fold} has no training tile; verdicts.tsv and the log of tile_slide say why"
            )
        lesson = SeedLesson(
            model,
            bags["train"],
            bags["val"],
            make_sampler(**{key: negev[key] for key in SEEDING}),
            seed_weight=negev["seed_weight"],
            batch_size=negev["batch_size"],
            augmentation=negev["augment"],
            precision=precision,
            seed=seed,
            device=where,
        )
        outcome = fit(
            lesson,
            lesson.groups(negev["learning_rate"], negev["weight_decay"]),
            epochs=negev["epochs"],
            patience=None,  # seeds are noisy: their loss says little about which epoch places best
            seed=seed,
            work=work,
            key=make_key(shard.recipe, placed, [evidence], precision, fold),
        )
        curves = outcome.pop("curves")
        write_table(unit / "curves.tsv", curves[0], curves)
        facts = {
            "best_epoch": outcome["best_epoch"],
            "chosen_by": CHOSEN_BY,
            "pixel_masks_used": 0,
            "precision": precision,
        }
        settings = {"method": method, "settings": negev, "cam_scale": cam_scale, "fold": fold}
        model.cpu().save(unit, {**facts, **settings}, trained_on=manifest(trained)["recipe"])
        learnt_from = {"trained_on": bags["train"].tiles.slides}
        return {**facts, **learnt_from, "chosen_on": bags["val"].tiles.slides}

    # The evidence stands for what it was made from: tiles, classifier, and the cams behind masks.
    commit(decoder, shard, make, upstream=[splits, evidence], only=set(placed))
    shutil.rmtree(work, ignore_errors=True)


def _cams(unit: Path, scale: str) -> torch.Tensor:
    group, facts = open_group(unit / "cams.zarr"), manifest(unit)["facts"]
    return slide_evidence(group["cams"][:], group.attrs["classes"], facts, scale=scale)


if __name__ == "__main__":
    run(train_decoder, globals().get("snakemake"))
