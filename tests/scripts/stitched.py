"""A study of made-up slides up to its refined masks, for the tests of heatmaps and overlays.

Every slide has a disc of probability 1, around a place in level-0 px that the tests know. The
slides, the store and the maps have different pixel sizes, and no ratio of two is a whole number.
"""

import cv2
import numpy as np
from PIL import Image

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.shard import Shard, visit
from workflow.lib.jobs.tables import write_table
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.tiles.stores import create_group, create_tiles, write_rows
from workflow.lib.tiles.tiling import TileSpec, grid, origins
from workflow.scripts.draw_overlay import draw_overlay
from workflow.scripts.stitch_heatmap import stitch_heatmap

MPP0, MPP, TILE_PX, STRIDE_PX = 0.499, 1.3, 48, 32
SIZE_PX0 = (701, 905)
DISC_PX0 = {"a": ((300.0, 420.0), 90.0), "b": ((90.5, 800.25), 60.0), "c": ((640.0, 60.0), 50.0)}
SPLITS = {  # slide -> its split in folds 0 and 1
    "a": ("test", "val"),
    "b": ("val", "test"),
    "c": ("test", "val"),
    "bare": ("test", "train"),  # a slide without tiles
    "quarantined": ("test", "train"),
    "trained": ("train", "val"),
}
SETTINGS = {
    "classes": ["normal", "tumour"],
    "window": "hann",
    "polygon_threshold": 0.5,
    "min_polygon_um2": 100.0,
}


def shard(rule, **settings):
    slides = [Slide(name, None, f"patient-{name}", None) for name in sorted(SPLITS)]
    made_from = {"rule": rule, "settings": settings, "code": "c", "versions": {}, "made_of": {}}
    return Shard("all", slides, made_from | {"slides": dict.fromkeys(SPLITS)})


def spec():
    return TileSpec(SIZE_PX0[1], SIZE_PX0[0], MPP0, MPP, TILE_PX, STRIDE_PX)


class Study:
    """Paths and stages of a study on disk, called as Snakemake would."""

    def __init__(self, root, downsample=2, facts=None):
        self.root, self.downsample = root, downsample
        self.facts = {"class": "tumour"} if facts is None else facts
        self.tiles, self.tissue = root / "tiles/all.json", root / "tissue/all.json"
        self.splits = root / "splits.tsv"
        self.refined = [root / f"refined/negev/fold{fold}/all.json" for fold in (0, 1)]
        self.heatmaps, self.overlays = (
            root / f"{noun}/negev/all.json" for noun in ("heatmaps", "overlays")
        )

    def build(self):
        rows = [
            {"fold": fold, "slide": slide, "patient": f"patient-{slide}", "split": splits[fold]}
            for slide, splits in sorted(SPLITS.items())
            for fold in (0, 1)
        ]
        self.root.mkdir(parents=True, exist_ok=True)
        write_table(self.splits, rows[0], rows)
        visit(self.tissue, shard("mask_tissue"), draw_tissue)
        visit(self.tiles, shard("tile_slide"), cut)
        for fold, index in enumerate(self.refined):
            only = {slide for slide, splits in SPLITS.items() if splits[fold] != "train"}
            visit(
                index,
                shard("refine_masks", fold=fold),
                lambda slide, folder, fold=fold: self.refine(slide, folder, fold),
                upstream=[self.tiles.parent],
                only=only,
            )
        return self

    def refine(self, slide, folder, fold):
        """The disc as map pixels see it; a slide refined by another fold is darker."""
        side = TILE_PX // self.downsample
        positions = positions_of(slide.slide)
        group = create_group(folder / "refined.zarr", {"downsample": self.downsample})
        centre, radius = DISC_PX0.get(slide.slide, ((0, 0), 0))
        pixel = (np.arange(side) + 0.5) * self.downsample
        y, x = ((positions[:, axis, None] + pixel) * spec().scale - centre[axis] for axis in (0, 1))
        inside = np.hypot(y[:, :, None], x[:, None, :]) <= radius
        full = 65535 if fold == 0 else 52428
        write_rows(group, "probability", (inside * full).astype(np.uint16))
        return self.facts

    def stitch(self, **changes):
        settings = SETTINGS | changes
        made_of = shard("stitch_heatmap", **settings)
        where = (self.tiles, self.refined, self.splits, self.heatmaps)
        stitch_heatmap(*where, shard=made_of, method="negev", **settings)
        return self.heatmaps.parent

    def draw(self, max_side_px=512):
        made_of = shard("draw_overlay", max_side_px=max_side_px)
        where = (self.tiles, self.tissue, self.heatmaps, self.overlays)
        draw_overlay(*where, shard=made_of, max_side_px=max_side_px)
        return self.overlays.parent


def positions_of(slide):
    """All of the slide is tissue, save for the one that has none."""
    return grid(spec())[: 0 if slide == "bare" else None]


def cut(slide, folder):
    if slide.slide == "quarantined":
        raise Quarantine("E_MPP", "no pixel size; give one in the sheet")
    positions = positions_of(slide.slide)
    count = len(positions)
    pink = (np.full((TILE_PX, TILE_PX, 3), (226, 160, 200), np.uint8) for _ in positions)
    group = create_tiles(
        folder / "tiles.zarr", pink, count=count, tile_px=TILE_PX, codec="lossless", quality=90
    )
    group.attrs.update(spec().attributes())
    rows = {"origins": origins(spec(), positions), "positions_px": positions}
    rows |= {"tissue": np.ones(count, np.float32), "blur": np.ones(count, np.float32)}
    rows["bad"] = np.zeros(count, bool)
    for name, values in rows.items():
        write_rows(group, name, values)
    return {"tiles": count}


def draw_tissue(slide, folder):
    """A thumbnail of pink tissue with the disc in purple, and its mask."""
    shape = (88, 113)
    mask = np.zeros(shape, np.uint8)
    cv2.ellipse(mask, (56, 44), (50, 38), 0, 0, 360, 255, -1)
    thumbnail = np.where(mask[..., None] > 0, (226, 160, 200), (244, 243, 241)).astype(np.uint8)
    if slide.slide in DISC_PX0:
        (y, x), radius = DISC_PX0[slide.slide]
        step = SIZE_PX0[0] / shape[0]
        centre = round(x / step), round(y / step)
        cv2.circle(thumbnail, centre, round(radius / step), (120, 70, 140), -1)
    Image.fromarray(thumbnail).save(folder / "thumbnail.jpg", quality=95)
    Image.fromarray(mask).save(folder / "tissue.png")
    return {"mask_mpp": MPP0 * SIZE_PX0[0] / shape[0], "tissue_fraction": float((mask > 0).mean())}
