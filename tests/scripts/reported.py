"""Finished studies of a few flat slides, as write_report finds them: units, tables, pictures."""

import json

import numpy as np
from PIL import Image

from tests.scripts import audited, clustered, halved
from workflow.lib.clusters.cluster_questions import ENRICHMENT
from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.names import UNLEARNT
from workflow.lib.jobs.shard import Shard, commit, visit
from workflow.lib.jobs.tables import METRICS, metric_row, write_table
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.tiles.stores import create_tiles, write_rows
from workflow.scripts.check_cohort import COLUMNS
from workflow.scripts.write_report import write_report

SIDE_PX0, MPP0 = 4000, 0.5  # 2 mm wide
TILE_PX = 100
MASKS = ("slide", "fold", "method", "threshold", "dice_fg", "iou_fg", "pxap", "foreground")
MASKS += ("truth_uncovered", "n_pixels", "note")
CONFIG = {
    "study": "flat",
    "seed": 7,
    "labels": {"level": "image", "negative": "normal", "permute": False},
    "cluster": {"method": "kmeans", "fit_on": "train"},
    "split_patients": {"group_by": "patient"},
    "tile_slide": {"tile_px": TILE_PX, "mpp": 1},
    "train_aggregator": {"pooling": "attention"},
    "classify_tiles": {"pooling": "top_k"},
    "refine_masks": {"evidence_share": 0},
    "write_report": {"layers_mb": 4},
    "stitch_heatmap": {"polygon_threshold": 0.5},
}
CONFIG |= {f"train_{name}": {"choose_by": "labels"} for name in ("classifier", "negev", "rpnet")}


class Finished:
    """A study on disk: two good slides, one without tiles, one quarantined; two classes or none."""

    def __init__(
        self,
        root,
        *,
        classes=("normal", "tumour"),
        methods=("none", "negev"),
        cams=("cam",),
        clustering="kmeans",
        fit_on="train",
        **words,
    ):
        self.root, self.classes = root / "results" / "flat", list(classes)
        self.refiners, self.methods = methods, (*methods, *cams[1:])
        self.words = {"patient": "p1", "sentence": "A sentence.", "slide": "good"} | words
        good, (negative, positive) = self.words["slide"], classes or (None, None)
        patients = {good: self.words["patient"], "plain": "p2", "empty": "p3", "cut": "p4"}
        self.slides = [
            Slide(name, None, patients[name], positive if name == good else negative)
            for name in sorted(patients)
        ]
        self.clustering, cluster = clustering, {"method": clustering, "fit_on": fit_on}
        labelled = {"labels": CONFIG["labels"] | {"classes": self.classes}}
        self.config = CONFIG | labelled | {"cluster": cluster, "make_cams": {"methods": [*cams]}}

    def index(self, folder):
        return self.root / folder / "all.json"

    def of_clusters(self, stage):
        return self.root / stage / self.clustering / "fold0.json"

    def shard(self, rule, made_of=None, **settings):
        made_from = {"rule": rule, "settings": {"encoder": "net9"} | settings, "code": "c"}
        made_from |= {"versions": {"numpy": "2.0"}, "made_of": made_of or {"checkpoint": "random"}}
        slides = {slide.slide: None for slide in self.slides}
        return Shard("all", self.slides, made_from | {"slides": slides})

    def build(self, mask=None):
        tiles = self.root / "tiles"
        self.visit("checks", lambda slide, folder: {}, [])
        self.visit("tissue", halved.draw_tissue, [self.root / "checks"])
        self.visit("tiles", self.cut, [self.root / "tissue"])
        if self.clustering == "kmeans":
            self.visit("features", lambda slide, folder: {}, [tiles])
        maps = f"cluster_maps/{self.clustering}"
        self.visit(maps, clustered.picture("cluster_map.png", (300, 400)), [tiles])
        for method in self.methods:
            self.visit(f"heatmaps/{method}", halved.stitch(SIDE_PX0), [tiles])
            self.visit(f"overlays/{method}", clustered.picture("overlay.jpg", (200, 200)), [tiles])
        clustered.build(self)
        if self.classes:
            index = self.root / "classifiers/fold0.json"
            commit(index, self.shard("train_classifier"), self.train)
        for method in set(self.refiners) - set(UNLEARNT):
            index = self.root / f"decoders/{method}/fold0.json"
            commit(index, self.shard("train_negev", {"a": 1}), self.train)
        if mask is not None:
            file = self.root / "mask.png"
            Image.fromarray(mask).save(file)
            self.slides = [slide_with(slide, mask=file) for slide in self.slides]
        self.write_tables()
        self.log("tile_slide", "all", seconds=12.25, max_rss_mb=345)
        return self

    def visit(self, folder, work, upstream):
        visit(self.index(folder), self.shard(folder), work, upstream=upstream)

    def cut(self, slide, folder):
        if slide.slide == "cut":
            raise Quarantine("E_TILE", self.words["sentence"])
        count = 2 * (slide.slide != "empty")
        pixels = np.full((count, TILE_PX, TILE_PX, 3), (200, 0, 100), np.uint8)
        settings = {"count": count, "tile_px": TILE_PX, "codec": "lossless", "quality": 90}
        group = create_tiles(folder / "tiles.zarr", pixels, **settings)
        side = SIDE_PX0 // 2
        sizes = {"width_px": side, "height_px": side, "width_px0": SIDE_PX0, "height_px0": SIDE_PX0}
        group.attrs.update({"tile_px": TILE_PX, "mpp": 1.0, "scale": 2.0, **sizes})
        corners = np.array([[500, 500], [500, 1950]], np.int64)[:count]
        rows = {"origins": 2 * corners, "positions_px": corners}
        rows |= {name: np.ones(count, np.float32) for name in ("tissue", "blur")}
        for name, values in (rows | {"bad": np.zeros(count, bool)}).items():
            write_rows(group, name, values)
        return {"tiles": count}

    def train(self, folder):
        (folder / "model.safetensors").write_bytes(b"weights")
        rows = [
            {"epoch": epoch, "split": split, "loss": 1 / epoch, "auroc": 0.75}
            for epoch in (1, 2)
            for split in ("train", "val")
        ]
        write_table(folder / "curves.tsv", rows[0], rows)
        epochs = {} if "svm" in folder.parts else {"best_epoch": 2}
        return epochs | {"chosen_by": "the second", "precision": "fp32"}

    def write_tables(self):
        about = {"sentence": "", "remedy": "", "width_px0": SIDE_PX0, "height_px0": SIDE_PX0}
        about |= {"mpp": MPP0, "backend": "drawn", "verdict": "ok", "warnings": ""}
        rows = [about | {"slide": slide.slide} for slide in self.slides]
        rows[-1]["warnings"] = self.words.get("warning", "")
        write_table(self.root / "verdicts.tsv", COLUMNS, rows)
        split = "test" if self.classes else "train"
        placed = [
            {"fold": 0, "slide": s.slide, "patient": s.patient, "label": s.label, "split": split}
            for s in self.slides
        ]
        write_table(self.root / "splits.tsv", placed[0], placed)
        self.write_metrics(self.metrics())
        audited.write(self.root, self.words["sentence"])
        folder = self.root / "evaluation"
        folder.mkdir(exist_ok=True)
        write_table(folder / "cluster_enrichment.tsv", ENRICHMENT, clustered.enrichment(self))
        if self.classes:
            self.write_labels(folder)
            audited.write_evidence(folder, self.words["sentence"])
        for method in self.methods:
            fact = dict.fromkeys(MASKS) | {"fold": 0, "method": method, "n_pixels": 9}
            good = {"dice_fg": 0.75, "pxap": 81.25, "foreground": 0.5, "threshold": 0.5}
            rows = [fact | {"slide": s.slide} | good for s in self.slides if self.has_truth(s)]
            write_table(folder / f"masks_{method}_slides.tsv", MASKS, rows)
            points = [
                {"fold": "all", "method": method, "threshold": t, "precision": p, "recall": r}
                for t, p, r in ((0, 0.25, 1.0), (0.5, 0.75, 0.5), (1, None, 0.0))
            ]
            write_table(folder / f"masks_{method}_curves.tsv", points[0], points)

    def has_truth(self, slide):
        return slide.label == self.classes[-1]

    def write_labels(self, folder):
        scores = [f"score[{name}]" for name in self.classes]
        columns = ["slide", "fold", "patient", "label", "predicted", *scores, "tiles", "note"]
        rows = []
        for slide in self.slides:
            row = dict.fromkeys(columns) | {"slide": slide.slide, "fold": 0, "label": slide.label}
            if slide.slide not in ("empty", "cut"):
                row |= {"predicted": self.classes[-1], scores[0]: 0.375, scores[-1]: 0.625}
            rows.append(row)
        write_table(folder / "classifier_slides.tsv", columns, rows)
        axes = ("false_positive_rate", "recall", "precision", "threshold")
        points = [
            {"level": "image", "fold": "all", "class": self.classes[-1]}
            | dict(zip(axes, point, strict=True))
            for point in ((0, 0.5, 1, 0.75), (0.5, 1, 0.5, 0.25))
        ]
        write_table(folder / "classifier_curves.tsv", points[0], points)

    def metrics(self):
        if not self.classes:
            return []
        label = {"fold": "all", "level": "image", "method": "classifier (top_k)", "n": 2}
        rows = [metric_row("auroc", 0.875, (0.5, 1.0), **label), *clustered.metrics(self)]
        rows += [
            metric_row(f"confusion[true={t},predicted={p}]", 1.0, **label)
            for t in self.classes
            for p in self.classes
        ]
        for method in self.methods:
            pixel = {"fold": "all", "level": "pixel", "method": method, "n": 2}
            rows.append(metric_row("pxap", 81.25, (70.0, 90.0), **pixel))
            rows.append(metric_row("pxap_chance", 50.0, **pixel))
            rows.append(metric_row("dice_fg@otsu_val", 0.75, (0.5, 0.9), **pixel))
            rows.append(metric_row("dice_fg@best_val", 0.8, **pixel, pixel_masks_used=6))
        return rows

    def write_metrics(self, rows):
        write_table(self.root / "metrics.tsv", METRICS, rows)

    def log(self, rule, key, **changes):
        record = {"rule": rule, "key": key, "seconds": 1.0, "cpu_seconds": 2.0, "max_rss_mb": 10}
        record |= {"threads": 1, "host": "here", "device": None, **changes}
        file = self.root.parents[1] / "logs" / "flat" / rule / f"{key}.run.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(record))

    def report(self, aggregators=(), explanations=(), **settings):
        """The page; to be called in the folder above results/ and logs/."""
        tables = ["cluster_enrichment"]
        tables += ["classifier_slides", "classifier_curves", "pseudo_masks"] * bool(self.classes)
        tables += [f"masks_{m}_{table}" for m in self.methods for table in ("slides", "curves")]
        write_report(
            self.root / "verdicts.tsv",
            self.root / "splits.tsv",
            self.root / "metrics.tsv",
            self.root / "audit.tsv",
            [self.index(f"cluster_maps/{self.clustering}")],
            [self.of_clusters("montages")],
            [self.of_clusters("clusters")],
            [self.of_clusters("embedding_maps")],
            [self.of_clusters("networks")] * (self.clustering != "kmeans"),
            [self.index(f"overlays/{method}") for method in self.methods],
            list(aggregators),
            [self.root / "classifiers/fold0.json"] * bool(self.classes),
            list(explanations),
            [self.root / f"decoders/{m}/fold0.json" for m in self.refiners if m not in UNLEARNT],
            [self.root / "evaluation" / f"{table}.tsv" for table in tables],
            self.root / "report.html",
            self.root / "evaluation" / "methods.tsv",
            shard=self.shard("write_report", {"config": self.config, "licences": {}}),
            classes=self.classes,
            **{"max_slides": 60, "picture_px": 250, "pictures_mb": 60, "layers_mb": 4}
            | {"thumbnails_mb": 1, "chosen": (), **settings},
        )
        return (self.root / "report.html").read_text(encoding="utf-8")


def slide_with(slide, **changes):
    return Slide(**(vars(slide) | changes))
