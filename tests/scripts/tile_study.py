"""A study that has got as far as its tiles: small stores of two textures, and their splits."""

from pathlib import Path

import numpy as np

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import write_table
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.tiles.stores import create_tiles, write_rows

CLASSES = ["plain", "striped"]
TILE_PX = 32
STUDY = {
    "a": ("plain", "train", 12),
    "b": ("striped", "train", 9),
    "c": ("plain", "val", 5),
    "d": ("striped", "val", 6),
    "e": ("plain", "test", 5),
    "f": ("striped", "test", 4),
    "empty": ("plain", "train", 0),
    "lost": ("striped", "train", -1),
}


def shard(rule, slides, **settings):
    recipe = {"rule": rule, "settings": settings, "code": "c", "versions": {}}
    return Shard("all", slides, recipe | {"slides": {slide.slide: "i" for slide in slides}})


def pixels(label, count, seed):
    rng = np.random.default_rng(seed)
    tiles = rng.integers(150, 220, (count, TILE_PX, TILE_PX, 3), dtype=np.uint8)
    tiles[:, ::4] -= 100 * np.uint8(label == "striped")
    return tiles


def write_tiles(root: Path, slides: dict[str, tuple[str, str, int]], *, mpp: float = 1.0) -> list:
    """Stores and splits of {slide: (label, split, tiles)} under `root`; -1 tiles: quarantined.

    The second tile of a slide with more than two is bad (black).
    """
    made = [Slide(name, None, f"p-{name}", label) for name, (label, _, _) in slides.items()]

    def work(slide, folder):
        label, _, count = slides[slide.slide]
        if count < 0:
            raise Quarantine("E_TILE", "The slide cannot be read; fetch it again.")
        tiles = pixels(label, count, seed=sorted(slides).index(slide.slide))
        bad = (np.arange(count) == 1) & (count > 2)
        tiles[bad] = 0
        path = folder / "tiles.zarr"
        group = create_tiles(
            path, iter(tiles), count=count, tile_px=TILE_PX, codec="lossless", quality=90
        )
        corners = np.stack([np.zeros(count, np.int64), np.arange(count) * TILE_PX], axis=1)
        for name, rows in {
            "origins": corners,
            "positions_px": corners,
            "tissue": np.ones(count, np.float32),
            "blur": np.zeros(count, np.float32),
            "bad": bad,
        }.items():
            write_rows(group, name, rows)
        group.attrs.update({"mpp": mpp, "tile_px": TILE_PX})
        return {"tiles": count}

    visit(root / "tiles" / "all.json", shard("tile_slide", made, mpp=mpp), work)
    rows = [
        {"fold": 0, "slide": s.slide, "patient": s.patient, "label": s.label, "split": split}
        for s, (_, split, _) in zip(made, slides.values(), strict=True)
    ]
    write_table(root / "splits.tsv", rows[0], rows)
    return made


def train_fold(stage, root, slides, folder, *inputs, settings, **compute):
    """Call a training stage on fold 0 of the study `root`; the unit that it wrote."""
    index = root / folder / "fold0.json"
    stage(
        [root / "tiles" / "all.json"],
        root / "splits.tsv",
        *inputs,
        index,
        shard=shard(stage.__name__, slides, **settings),
        fold=0,
        **settings,
        **compute,
        device="cpu",
        threads=1,
        work=index.with_name(".fold0.work"),
    )
    return index.with_suffix("")
