"""Tell, before hours are spent on refining, whether the evidence of each fold is worth it."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr
from PIL import Image
from scipy.special import softmax

from workflow.lib.cohort.folds import in_fold
from workflow.lib.evidence import agreement
from workflow.lib.evidence import cam_quality as quality
from workflow.lib.evidence.cams import open_evidence, slide_evidence
from workflow.lib.evidence.evidence_tallies import EvidenceTally
from workflow.lib.jobs.job import run
from workflow.lib.jobs.shard import Shard
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.units import manifest, usable
from workflow.lib.tiles.stores import Tiles, open_group

log = logging.getLogger(__name__)


def evaluate_pseudo_masks(
    tiles: list[Path],
    tissue: list[Path],
    assignments: list[Path],
    classifiers: list[Path],
    cams: list[Path],
    compared: list[Path] | None,
    pseudo_masks: list[Path],
    splits: Path,
    evaluation: Path,
    *,
    shard: Shard,
    classes: list[str],
    negative: str | None,
    cam_scale: str,
) -> None:
    """Write a row per fold on its training slides with a finding, and warn of folds that look bad.

    No pixel truth is read: evidence is held against tissue masks, clusters, the labels of training
    and validation slides, what the classifier says of itself (lib/evidence/cam_quality.py) and the
    maps of further methods (lib/evidence/agreement.py).

    cams, compared: of the method that all else builds on, and of further ones
    """
    known = {slide.slide for slide in shard.slides}
    folders = [_by_fold(indices) for indices in (cams, pseudo_masks, assignments)]
    others = {
        cam: _by_fold([index for index in compared if index.parents[1].name == cam])
        for cam in dict.fromkeys(index.parents[1].name for index in compared or ())
    }
    rows = []
    for fold, trained in sorted(_by_fold(classifiers, unit=True).items()):
        seen, masks, clusters = (of_fold[fold] for of_fold in folders)
        members = in_fold(read_table(splits), fold, "train", "val")
        placed = {slide: row for slide, row in members.items() if slide in known}
        tally, agreed = quality.Tally(classes, negative), []
        for name in usable(seen, placed):
            store, split = Tiles(tiles[0].parent / name / "tiles.zarr"), placed[name]["split"]
            if not (good := ~store.bad).any():
                continue
            group, label = open_group(seen / name / "cams.zarr"), placed[name]["label"]
            facts, found = manifest(seen / name)["facts"], EvidenceTally()
            shared = facts["cam"] == "cam"  # other maps have no unit that classes share
            learnt = split == "train" and label != negative
            if learnt:
                made, mask = manifest(masks / name), _mask(tissue[0].parent / name)
                threshold = made["made_from"]["settings"]["foreground"]
                ids = open_group(clusters / name / "assignments.zarr")["assignments"][:]
                further = {
                    cam: open_evidence(folder[fold] / name, cam_scale)
                    for cam, folder in others.items()
                    if usable(folder[fold], [name])
                }
                together = agreement.SlideMaps(np.count_nonzero(good))
            for kept, maps in _blocks(group["cams"], good) if shared or learnt else ():
                if shared:
                    found.add_shares(softmax(maps.astype(np.float32), axis=1))
                if learnt:
                    evidence = slide_evidence(maps, group.attrs["classes"], facts, scale=cam_scale)
                    inside = quality.cell_tissue(
                        mask,
                        store.positions_px[kept],
                        evidence.shape[1:],
                        tile_px=store.attrs["tile_px"],
                        size_px=(store.attrs["height_px"], store.attrs["width_px"]),
                    )
                    found.add_evidence(evidence.numpy(), inside, ids[kept], threshold=threshold)
                    block = slice(kept[0], kept[-1] + 1)
                    seen_too = {
                        cam: read(block)[kept - kept[0]].numpy() for cam, read in further.items()
                    }
                    together.add(evidence.numpy(), seen_too)
            if shared:
                tally.add_shares(split, label, found.shares())
            if learnt:
                tally.add_evidence(found, made["facts"])
                agreed.append(together.compare())
        record = manifest(trained)
        row = {"fold": fold, **tally.row(), "classifier_auroc": _auroc(trained, record["facts"])}
        row |= agreement.agreement(agreed, others)
        said = quality.warnings(row, weak=record["facts"].get("warning"))
        said += agreement.warn_apart(row, others)
        for sentence in said:
            log.warning(sentence)
        rows.append(row | {"warning": " ".join(said)})
        log.info("Fold %d: %s.", fold, quality.describe(row))
    write_table(evaluation, [*quality.COLUMNS, *agreement.columns(others)], rows)


def _by_fold(indices: list[Path], *, unit: bool = False) -> dict[int, Path]:
    """Fold -> folder of its stage, or of its unit."""
    folders = (index.with_suffix("") if unit else index.parent for index in indices)
    return {int(folder.name.removeprefix("fold")): folder for folder in folders}


def _blocks(cams: zarr.Array, good: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows (B,) of the good tiles and their cams (B, C, h, w), a shard of the store at a time."""
    step = cams.shards[0]
    for start in range(0, len(good), step):
        rows = np.flatnonzero(good[start : start + step])
        if len(rows):
            yield start + rows, cams[start : start + step][rows]


def _mask(unit: Path) -> np.ndarray:
    with Image.open(unit / "tissue.png") as image:
        return np.asarray(image) > 0


def _auroc(trained: Path, facts: dict) -> float | None:
    """AUROC on validation tiles of the epoch that was kept; None where it is not defined."""
    for row in read_table(trained / "curves.tsv"):
        kept = row["split"] == "val" and row["epoch"] == str(facts["best_epoch"])
        if kept and row.get("auroc"):
            return float(row["auroc"])
    return None


if __name__ == "__main__":
    run(evaluate_pseudo_masks, globals().get("snakemake"))
