"""A study up to the labels of its tiles: features with planted tiles, masks, and three stages."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.scripts.tile_study import shard
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import visit
from workflow.lib.jobs.tables import write_table
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.tiles.stores import create_group, create_tiles, write_rows
from workflow.scripts.label_tiles import label_tiles
from workflow.scripts.mark_tiles import mark_tiles
from workflow.scripts.score_bags import score_bags
from workflow.scripts.train_aggregator import train_aggregator

CLASSES = ["normal", "tumour"]
ATTRS = {"encoder": "made up", "mpp": 1.0}
TILE_PX = 4
# slide -> label, split, tiles; of a tumour slide the first third is planted. -1: quarantined
SLIDES = {
    "n1": ("normal", "train", 12),
    "n2": ("normal", "train", 9),
    "n3": ("normal", "val", 9),
    "n4": ("normal", "test", 9),
    "t1": ("tumour", "train", 12),
    "t2": ("tumour", "train", 9),
    "t3": ("tumour", "val", 9),
    "t4": ("tumour", "test", 9),
    "one": ("tumour", "test", 1),
    "empty": ("tumour", "train", 0),
    "lost": ("normal", "train", -1),
}
TRAINING = {
    "pooling": "attention",
    "hidden": 8,
    "dropout": 0.0,
    "epochs": 15,
    "learning_rate": 5e-3,
    "weight_decay": 1e-3,
    "patience": 15,
    "max_tiles": 8,
    "seed": 0,
    "classes": CLASSES,
}
LABELLING = {
    "classes": CLASSES,
    "negative": "normal",
    "top_share": 0.25,
    "bottom_share": 0.25,
}


def planted(slide: str) -> np.ndarray:
    label, _, count = SLIDES[slide]
    return (np.arange(count) < max(1, count // 3)) & (label == "tumour")


def build(root: Path) -> list[Slide]:
    """Write splits, tiles, features and, but for t2, masks of the tumour slides."""
    (root / "masks").mkdir(parents=True)
    made = []
    for name, (label, _, count) in SLIDES.items():
        mask = None
        if label == "tumour" and count > 0 and name != "t2":
            mask = root / "masks" / f"{name}.png"
            marks = np.repeat(planted(name), TILE_PX)[None].repeat(TILE_PX, axis=0)
            Image.fromarray(marks.astype(np.uint8) * 255).save(mask)
        made.append(Slide(name, None, f"p-{name}", label, mask=mask))
    visit(root / "tiles" / "all.json", shard("tile_slide", made), _tile)
    features = root / "features" / "all.json"
    visit(features, shard("extract_features", made), _describe, upstream=[root / "tiles"])
    rows = [
        {"fold": 0, "slide": s.slide, "patient": s.patient, "label": s.label, "split": split}
        for s, (_, split, _) in zip(made, SLIDES.values(), strict=True)
    ]
    write_table(root / "splits.tsv", rows[0], rows)
    return made


def learn(root: Path, slides: list[Slide], **changed) -> Path:
    """Train the aggregator; its folder."""
    index, settings = root / "aggregators" / "fold0.json", TRAINING | changed
    train_aggregator(
        [root / "features" / "all.json"],
        root / "splits.tsv",
        index,
        shard=shard("train_aggregator", slides, **settings),
        fold=0,
        **settings,
        device="cpu",
        threads=1,
        work=index.with_name(".fold0.work"),
    )
    return index.with_suffix("")


def score(root: Path, slides: list[Slide]) -> Path:
    """Score the bags; their folder."""
    index = root / "bag_scores" / "fold0" / "all.json"
    about = {"shard": shard("score_bags", slides), "fold": 0, "device": "cpu", "threads": 1}
    aggregator = root / "aggregators" / "fold0.json"
    score_bags(root / "features" / "all.json", root / "splits.tsv", aggregator, index, **about)
    return index.parent


def label(root: Path, slides: list[Slide]) -> Path:
    """Label the tiles by evidence; their folder."""
    index = root / "tile_labels" / "fold0" / "all.json"
    label_tiles(
        root / "tiles" / "all.json",
        root / "splits.tsv",
        root / "bag_scores" / "fold0" / "all.json",
        index,
        shard=shard("label_tiles", slides, **LABELLING),
        fold=0,
        **LABELLING,
    )
    return index.parent


def mark(root: Path, slides: list[Slide]) -> Path:
    """Label the tiles by masks; their folder."""
    index = root / "tile_labels" / "marked" / "all.json"
    settings = {"classes": CLASSES, "negative": "normal", "annotated_share": 0.2}
    given = {"shard": shard("mark_tiles", slides, **settings), **settings}
    mark_tiles(root / "tiles" / "all.json", index, **given)
    return index.parent


def _tile(slide: Slide, folder: Path) -> dict:
    count = SLIDES[slide.slide][2]
    if count < 0:
        raise Quarantine("E_TILE", "The slide cannot be read; fetch it again.")
    pixels = np.zeros((count, TILE_PX, TILE_PX, 3), np.uint8)
    about = {"count": count, "tile_px": TILE_PX, "codec": "lossless", "quality": 90}
    group = create_tiles(folder / "tiles.zarr", pixels, **about)
    corners = np.stack([np.zeros(count, np.int64), np.arange(count) * TILE_PX], axis=1)
    rows = {"origins": corners, "positions_px": corners, "bad": _bad(count)}
    rows |= {"tissue": np.ones(count, np.float32), "blur": np.zeros(count, np.float32)}
    for name, values in rows.items():
        write_rows(group, name, values)
    size = {"height_px": TILE_PX, "width_px": TILE_PX * count}
    size |= {f"{name}0": value for name, value in size.items()}
    group.attrs.update({"tile_px": TILE_PX, "mpp": 1.0, "scale": 1.0} | size)
    return {"tiles": count}


def _describe(slide: Slide, folder: Path) -> dict:
    rng, truth = np.random.default_rng(sorted(SLIDES).index(slide.slide)), planted(slide.slide)
    features = rng.normal(0, 1, (len(truth), 6)) + 6 * truth[:, None] * (np.arange(6) < 2)
    features[_bad(len(truth))] = 99  # what nobody should look at
    group = create_group(folder / "features.zarr", ATTRS)
    write_rows(group, "features", features.astype(np.float32))
    write_rows(group, "bad", _bad(len(truth)))
    return {"tiles": len(truth)}


def _bad(count: int) -> np.ndarray:
    """The second tile of a slide that has more than two."""
    return (np.arange(count) == 1) & (count > 2)
