"""A study of a few drawn slides up to its classifier, for the tests of what comes after.

Tumour slides have a red square in every tile. One slide is quarantined, one holds no tile, and
one tile of slide p1 could not be read.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard, commit, visit
from workflow.lib.jobs.tables import write_table
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.tiles.stores import create_tiles, open_group, write_rows

CLASSES = ["normal", "tumour"]
TILE_PX = 64
COUNT = 5  # tiles of a slide that has any
SPLITS = {
    "n1": "train",
    "n2": "val",
    "n3": "test",
    "p1": "train",
    "p2": "val",
    "p3": "test",
    "empty": "test",
    "quarantined": "train",
}
UNREADABLE = {"p1": 2}  # slide -> tile


def label(slide: str) -> str:
    return "normal" if slide.startswith("n") else "tumour"


def shard(rule: str, **settings) -> Shard:
    slides = [Slide(name, None, f"patient-{name}", label(name)) for name in sorted(SPLITS)]
    recipe = {"rule": rule, "settings": settings, "code": "c", "versions": {}, "made_of": {}}
    return Shard("all", slides, recipe | {"slides": dict.fromkeys(SPLITS)})


def masked(rule: str, folder: Path, slides: dict[str, int], **settings) -> Shard:
    """The shard with masks of these slides: their value in the red square of every tile, else 0."""
    made_of, files = shard(rule, **settings), {}
    for slide, value in slides.items():
        mask = np.zeros((TILE_PX, COUNT, TILE_PX), np.uint8)
        mask[: TILE_PX // 2, :, : TILE_PX // 2] = value
        files[slide] = folder / f"{slide}.png"
        Image.fromarray(mask.reshape(TILE_PX, -1)).save(files[slide])
    known = [replace(slide, mask=files.get(slide.slide)) for slide in made_of.slides]
    facts = made_of.recipe["slides"] | {slide: f"{value}" for slide, value in slides.items()}
    return Shard("all", known, made_of.recipe | {"slides": facts})


def build(study: Path) -> None:
    """Write tiles, splits and a classifier of fold 0 (not trained, but not constant either)."""
    visit(study / "tiles" / "all.json", shard("tile_slide"), _tile)
    rows = [
        {"fold": 0, "slide": name, "patient": f"patient-{name}", "label": label(name), "split": s}
        for name, s in sorted(SPLITS.items())
    ]
    write_table(study / "splits.tsv", rows[0], rows)
    torch.manual_seed(0)
    model = Classifier(Backbone("resnet18"), CLASSES, tile_px=TILE_PX, mpp=1.0)
    index = study / "classifiers" / "fold0.json"
    sources = [study / "tiles", study / "splits.tsv"]
    commit(index, shard("train_classifier"), lambda f: model.save(f, {}), upstream=sources)


def _tile(slide: Slide, folder: Path) -> dict:
    if slide.slide == "quarantined":
        raise Quarantine("E_MPP", "no pixel size; give one in the sheet")
    count = 0 if slide.slide == "empty" else COUNT
    rng = np.random.default_rng(sum(map(ord, slide.slide)))
    pixels = rng.integers(120, 200, size=(count, TILE_PX, TILE_PX, 3), dtype=np.uint8)
    if slide.label == "tumour":
        pixels[:, : TILE_PX // 2, : TILE_PX // 2] = (220, 30, 30)
    group = create_tiles(
        folder / "tiles.zarr", pixels, count=count, tile_px=TILE_PX, codec="lossless", quality=90
    )
    sizes = {"height_px": TILE_PX, "width_px": COUNT * TILE_PX}
    sizes |= {f"{name}0": side for name, side in sizes.items()}
    group.attrs.update({"tile_px": TILE_PX, "stride_px": TILE_PX, "mpp": 1.0, "scale": 1.0} | sizes)
    corners = np.stack([np.zeros(count), np.arange(count) * TILE_PX], axis=1).astype(np.int64)
    bad = np.arange(count) == UNREADABLE.get(slide.slide, -1)
    shares = np.ones(count, np.float32)
    described = {"origins": corners, "positions_px": corners, "tissue": shares, "blur": shares}
    for name, described_rows in (described | {"bad": bad}).items():
        write_rows(group, name, described_rows)
    return {"tiles": count}


def weights(folder: Path) -> bytes:
    """The bytes of the weights in a unit."""
    return (folder / "model.safetensors").read_bytes()


def probability(folder: Path, slide: str) -> np.ndarray:
    """The refined masks (N, h, w) of a slide, in 0..1."""
    return open_group(folder / slide / "refined.zarr")["probability"][:] / 65535
