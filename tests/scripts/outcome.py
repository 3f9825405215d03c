"""A study whose predictions are made up, so that every metric of it can be worked out by hand.

Eight slides of 48 x 32 px in two folds, each with six tiles of 16 px; the left half is foreground
in the pixel masks of the tumour slides. One slide is quarantined and one holds no tile.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard, commit, visit
from workflow.lib.jobs.tables import write_table
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.maps.pyramids import write_heatmap
from workflow.lib.tiles.stores import create_group, create_tiles, write_rows

CLASSES = ["normal", "tumour"]
HEIGHT, WIDTH, TILE = 32, 48, 16
# slide -> patient, label, split in fold 0, split in fold 1
SLIDES = {
    "a1": ("A", "normal", "test", "train"),
    "a2": ("A", "tumour", "test", "train"),
    "b": ("B", "tumour", "test", "val"),
    "c": ("C", "normal", "train", "test"),
    "d": ("D", "tumour", "val", "test"),
    "e": ("E", "tumour", "train", "test"),
    "empty": ("F", "normal", "train", "test"),
    "lost": ("G", "tumour", "test", "train"),
}
MASKED = ("a1", "a2", "b", "d", "e", "lost")
CORNERS = np.array([(y, x) for y in range(0, HEIGHT, TILE) for x in range(0, WIDTH, TILE)])


def truth(slide: str) -> np.ndarray:
    """Foreground (HEIGHT, WIDTH) uint8: the left half of a tumour slide, else nothing."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    if SLIDES[slide][1] == "tumour":
        mask[:, : WIDTH // 2] = 1
    return mask


def shard(rule: str, study: Path | None = None) -> Shard:
    slides = [
        Slide(
            name,
            None,
            patient,
            label,
            mask=study / "masks" / f"{name}.png" if study and name in MASKED else None,
        )
        for name, (patient, label, *_) in SLIDES.items()
    ]
    recipe = {"rule": rule, "settings": {}, "code": "c", "versions": {}, "made_of": {}}
    return Shard("all", slides, recipe | {"slides": dict.fromkeys(SLIDES)})


def build(study: Path) -> None:
    """Write splits, masks, checks, tissue, tiles, features and classifiers."""
    rows = [
        {
            "fold": fold,
            "slide": name,
            "patient": about[0],
            "label": about[1],
            "split": about[2 + fold],
        }
        for fold in (0, 1)
        for name, about in SLIDES.items()
    ]
    write_table(study / "splits.tsv", rows[0], rows)
    (study / "masks").mkdir()
    for name in MASKED:
        Image.fromarray(truth(name) * 255).save(study / "masks" / f"{name}.png")
    visit(study / "checks" / "all.json", shard("check_slide"), _check)
    visit(study / "tissue" / "all.json", shard("mask_tissue"), _tissue)
    visit(study / "tiles" / "all.json", shard("tile_slide"), _tile, upstream=[study / "checks"])
    write_classifiers(study)
    features = study / "features" / "all.json"
    visit(features, shard("extract_features"), _describe, upstream=[study / "tiles"])


def write_maps(study: Path, method: str, probability, masks=()) -> None:
    """Heatmaps of the test slides and refined tiles of val and test slides, both folds.

    `probability(slide)` gives the whole map (HEIGHT, WIDTH) float; `masks` are the slides whose
    pixel masks the method learnt from.
    """

    def refine(slide: Slide, folder: Path) -> dict:
        whole = np.rint(np.float64(probability(slide.slide)) * 65535).astype(np.uint16)
        maps = [whole[y : y + TILE, x : x + TILE] for y, x in CORNERS[: count(slide.slide)]]
        group = create_group(folder / "refined.zarr", {"downsample": 1, "method": method})
        write_rows(group, "probability", np.array(maps, np.uint16).reshape(-1, TILE, TILE))
        return {"tiles": len(maps), "masks": list(masks)}

    def stitch(slide: Slide, folder: Path) -> dict:
        covered = np.full((HEIGHT, WIDTH), bool(count(slide.slide)))
        write_heatmap(
            folder / "heatmap.ome.zarr",
            [(0, np.float32(probability(slide.slide)) * covered, covered)],
            (HEIGHT, WIDTH),
            mpp=1.0,
            mpp0=1.0,
            name=slide.slide,
            channels={"tumour": (213, 94, 0)},
        )
        fold = 0 if SLIDES[slide.slide][2] == "test" else 1
        return {"fold": fold, "scale_px0": 1.0, "shape": [HEIGHT, WIDTH]}

    for fold in (0, 1):
        only = {name for name, about in SLIDES.items() if about[2 + fold] != "train"}
        index = study / "refined" / method / f"fold{fold}" / "all.json"
        visit(index, shard("refine_masks"), refine, upstream=[study / "tiles"], only=only)
    only = {name for name, about in SLIDES.items() if "test" in about}
    index = study / "heatmaps" / method / "all.json"
    visit(index, shard("stitch_heatmap"), stitch, upstream=[study / "tiles"], only=only)


def write_classifiers(study: Path, masks: dict[int, list[str]] | None = None) -> None:
    """Classifiers of both folds, as far as evaluation asks: `masks` are those behind each fold."""
    for fold in (0, 1):
        told = {"masks": (masks or {}).get(fold, [])}
        index = study / "classifiers" / f"fold{fold}.json"
        made_of = shard("train_classifier")
        made_of.recipe["settings"].update(told)
        commit(index, made_of, lambda folder, told=told: told, upstream=[study / "splits.tsv"])


def write_scores(study: Path, tumour) -> None:
    """Scores of the test slides; `tumour(slide)` gives the probability (N,) of its tiles."""
    for fold in (0, 1):

        def classify(slide: Slide, folder: Path, fold=fold) -> dict:
            second = np.asarray(tumour(slide.slide), np.float32)[: count(slide.slide)]
            probability = np.stack([1 - second, second], axis=1)
            group = create_group(folder / "scores.zarr", {"classes": CLASSES, "fold": fold})
            write_rows(group, "probability", probability)
            write_rows(group, "bad", np.arange(len(second)) == 5)
            if not len(second):
                return {"tiles": 0, "pooled": None, "predicted": None}
            pooled = probability.mean(0, dtype=np.float64).tolist()
            return {"tiles": len(second), "pooled": pooled, "predicted": CLASSES[pooled[1] > 0.5]}

        only = {name for name, about in SLIDES.items() if about[2 + fold] == "test"}
        index = study / "scores" / f"fold{fold}" / "all.json"
        visit(index, shard("classify_tiles"), classify, upstream=[study / "tiles"], only=only)


def count(slide: str) -> int:
    return 0 if slide == "empty" else len(CORNERS)


def _check(slide: Slide, folder: Path) -> dict:
    if slide.slide == "lost":
        raise Quarantine("E_MPP", "no pixel size; give one in the sheet")
    return {"width_px0": WIDTH, "height_px0": HEIGHT, "mpp": 1.0}


def _tissue(slide: Slide, folder: Path) -> dict:
    picture = np.full((HEIGHT // 8, WIDTH // 8, 3), (230, 180, 220), np.uint8)
    Image.fromarray(picture).save(folder / "thumbnail.jpg")
    return {}


def _tile(slide: Slide, folder: Path) -> dict:
    corners = CORNERS[: count(slide.slide)]
    shade = 60 if slide.label == "tumour" else 180
    rng = np.random.default_rng(sum(map(ord, slide.slide)))
    pixels = rng.integers(shade, shade + 60, (len(corners), TILE, TILE, 3), dtype=np.uint8)
    group = create_tiles(
        folder / "tiles.zarr",
        pixels,
        count=len(corners),
        tile_px=TILE,
        codec="lossless",
        quality=90,
    )
    group.attrs.update({"tile_px": TILE, "stride_px": TILE, "mpp": 1.0, "scale": 1.0})
    group.attrs.update({"height_px": HEIGHT, "width_px": WIDTH})
    group.attrs.update({"height_px0": HEIGHT, "width_px0": WIDTH})
    shares = np.ones(len(corners), np.float32)
    rows = {"origins": corners, "positions_px": corners, "tissue": shares, "blur": shares}
    for name, values in (rows | {"bad": np.arange(len(corners)) == 5}).items():
        write_rows(group, name, values)
    return {"tiles": len(corners)}


def _describe(slide: Slide, folder: Path) -> dict:
    """Features that tell tumour from normal slides, and a little noise."""
    rng = np.random.default_rng(sum(map(ord, slide.slide)))
    centre = np.array([5, 0, 0, 0] if slide.label == "tumour" else [0, 5, 0, 0])
    features = centre + rng.normal(0, 0.3, (count(slide.slide), 4))
    group = create_group(folder / "features.zarr", {"encoder": "made up", "mpp": 1.0})
    write_rows(group, "features", features.astype(np.float32))
    write_rows(group, "bad", np.arange(len(features)) == 5)
    return {"tiles": len(features)}
