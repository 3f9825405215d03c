"""A finished study that leaks nowhere, as the audit finds it, and ways to make it leak.

Slides, patients and folds are those of outcome.py. Units hold their manifests and no arrays; the
thumbnails are drawn, because they are compared.
"""

import dataclasses
import io
import json

import numpy as np
from PIL import Image

from tests.scripts.outcome import SLIDES, shard
from tests.synthetic import draw_pixels
from workflow.lib.cohort.audit import COLUMNS, Check
from workflow.lib.evidence import cam_quality as quality
from workflow.lib.jobs.shard import Shard, commit, visit
from workflow.lib.jobs.tables import read_table, write_table
from workflow.lib.jobs.verdicts import Quarantine
from workflow.scripts.audit_folds import audit_folds

FOLDS = (0, 1)
SIDE_PX = 96


def placed(fold, *splits):
    return {name for name, about in SLIDES.items() if about[2 + fold] in splits}


class Audited:
    """The study below `root`; `slides` are its sheet."""

    def __init__(self, root):
        self.root, self.slides = root, shard("sheet").slides

    def build(self, level):
        """Make it, with labels of images, or of slides: then tiles are labelled by evidence."""
        rows = [
            {"fold": f, "slide": s, "patient": patient, "label": label, "split": splits[f]}
            for f in FOLDS
            for s, (patient, label, *splits) in SLIDES.items()
        ]
        write_table(self.root / "splits.tsv", rows[0], rows)
        self.visit("tissue", draw_tissue)
        self.visit("tiles", cut, "tissue")
        for fold in FOLDS:
            train, val = (sorted(placed(fold, s) - {"lost"}) for s in ("train", "val"))
            known = {"trained_on": train, "chosen_on": val}
            of = f"fold{fold}"
            self.commit(f"clusters/kmeans/{of}", {"trained_on": train}, ["train"], "tiles")
            self.visit(f"assignments/kmeans/{of}", none, "tiles", f"clusters/kmeans/{of}")
            probed = ["tiles", "splits.tsv", f"clusters/kmeans/{of}"]
            self.commit(f"probes/kmeans/{of}", {"trained_on": train}, ["train", "test"], *probed)
            taught = ["tiles", "splits.tsv"]
            if level == "slide":
                self.commit(f"aggregators/{of}", known, ["train", "val"], *taught)
                self.visit(f"bag_scores/{of}", none, "tiles", f"aggregators/{of}")
                sources, learnt = [*taught, f"bag_scores/{of}"], placed(fold, "train", "val")
                self.visit(f"tile_labels/{of}", none, *sources, only=learnt)
                taught.append(f"tile_labels/{of}")
            self.commit(f"classifiers/{of}", known, ["train", "val"], *taught)
            unseen = {"only": placed(fold, "val", "test")}
            self.visit(f"scores/{of}", none, "tiles", f"classifiers/{of}", **unseen)
            self.visit(f"cams/{of}", none, "tiles", "splits.tsv", f"classifiers/{of}")
            learnt = ["splits.tsv", f"cams/{of}"]
            self.commit(f"decoders/negev/{of}", known, ["train", "val"], *learnt)
            decoded = ["tiles", f"cams/{of}", f"decoders/negev/{of}"]
            self.visit(f"refined/negev/{of}", none, *decoded, **unseen)
        visit(
            self.root / "heatmaps/negev/all.json",
            self.shard("stitch_heatmap"),
            lambda slide, folder: {"fold": self.tested_in(slide)},
            upstream=lambda slide: [self.root / f"refined/negev/fold{self.tested_in(slide)}"],
        )
        return self

    def tested_in(self, slide):
        return SLIDES[slide.slide][2:].index("test")

    def shard(self, rule):
        return Shard("all", self.slides, shard(rule).recipe)

    def visit(self, stage, work, *upstream, **only):
        sources = [self.root / source for source in upstream]
        index = self.root / stage / "all.json"
        visit(index, self.shard(stage), work, upstream=sources, **only)

    def commit(self, unit, facts, splits, *upstream):
        sources = [self.root / source for source in upstream]
        fold = int(unit[-1])
        only = placed(fold, *splits)
        index = self.root / f"{unit}.json"
        commit(index, self.shard(unit), lambda folder: facts, upstream=sources, only=only)

    def audit(self, *, group_by="patient", hash_distance=20, correlation=0.6):
        """The rows of audit.tsv."""
        per_fold = [
            f"{stage}/fold{fold}" for stage in ("scores", "refined/negev") for fold in FOLDS
        ]
        judged = [self.root / stage / "all.json" for stage in [*per_fold, "heatmaps/negev"]]
        bags = [self.root / f"bag_scores/fold{fold}/all.json" for fold in FOLDS]
        clustered = [self.root / f"assignments/kmeans/fold{fold}/all.json" for fold in FOLDS]
        clustered += [self.root / f"probes/kmeans/fold{fold}.json" for fold in FOLDS]
        audit_folds(
            self.root / "splits.tsv",
            [self.root / "tissue/all.json"],
            judged,
            [index for index in bags if index.is_file()] or None,
            clustered,
            self.root / "audit.tsv",
            shard=self.shard("audit_folds"),
            group_by=group_by,
            hash_distance=hash_distance,
            correlation=correlation,
        )
        return read_table(self.root / "audit.tsv")

    # What follows makes it leak. Facts and tables change, recipes stay.

    def place(self, slide, **row):
        """Change a slide's row of splits.tsv, in one fold where `fold` names it."""
        fold, rows = row.pop("fold", None), read_table(self.root / "splits.tsv")
        for each in rows:
            if each["slide"] == slide and fold in (None, int(each["fold"])):
                each.update(row)
        write_table(self.root / "splits.tsv", rows[0], rows)

    def forget(self, slide):
        rows = [r for r in read_table(self.root / "splits.tsv") if r["slide"] != slide]
        write_table(self.root / "splits.tsv", rows[0], rows)

    def enter(self, slide, **cells):
        """Change a slide's row of the sheet; `slide_is` is its new id."""
        cells |= {"slide": cells.pop("slide_is", slide)}
        self.slides = [
            dataclasses.replace(each, **cells) if each.slide == slide else each
            for each in self.slides
        ]

    def manifest(self, unit, **changes):
        """Change facts (None removes one) or, where named `upstream`, what a unit was made from."""
        file = self.root / unit / "manifest.json"
        record = json.loads(file.read_text())
        if (source := changes.pop("upstream", None)) is not None:
            made_by = json.loads((self.root / source / "manifest.json").read_text())["recipe"]
            record["made_from"]["upstream"][-1] = [source.split("/")[-1], made_by]
        facts = record["facts"] | changes
        record["facts"] = {key: value for key, value in facts.items() if value is not None}
        file.write_text(json.dumps(record))

    def remake(self, unit):
        """A unit gets another recipe, as if it had been made again behind the others' backs."""
        file = self.root / unit / "manifest.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"recipe": "another"}))

    def copy(self, source, to, *, turns=0, mirror=False, brighter=0, quality=90):
        """The thumbnail of a slide, changed, in the place of another's, with its tissue."""
        thumbnail = np.asarray(Image.open(self.root / f"tissue/{source}/thumbnail.jpg"))
        mask = np.asarray(Image.open(self.root / f"tissue/{source}/tissue.png"))
        changed, tissue = np.rot90(thumbnail, turns), np.rot90(mask, turns)
        if mirror:
            changed, tissue = changed[:, ::-1], tissue[:, ::-1]
        changed = np.clip(changed.astype(int) + brighter, 0, 255).astype(np.uint8)
        encoded = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(changed)).save(encoded, "JPEG", quality=quality)
        (self.root / f"tissue/{to}/thumbnail.jpg").write_bytes(encoded.getvalue())
        Image.fromarray(np.ascontiguousarray(tissue)).save(self.root / f"tissue/{to}/tissue.png")


def write(root, note):
    """An audit.tsv that passed, with a note."""
    passed = Check("twins", 3, "No two alike.", notes=[note])
    write_table(root / "audit.tsv", COLUMNS, [passed.row()])


def write_evidence(folder, warning):
    """A table of pseudo-masks with one fold that was measured and one without a slide."""
    bare = dict.fromkeys(quality.COLUMNS) | {"slides": 0, "warning": ""}
    row = bare | {"slides": 3, "foreground": 0.125, "spread": 0.25, "warning": warning}
    write_table(
        folder / "pseudo_masks.tsv", quality.COLUMNS, [row | {"fold": 0}, bare | {"fold": 1}]
    )


def none(slide, folder):
    return {"tiles": 1}


def cut(slide, folder):
    if slide.slide == "lost":
        raise Quarantine("E_TILE", "The slide cannot be read; fetch it again.")
    return {"tiles": 1}


def draw_tissue(slide, folder):
    """A drawn slide; the one that is called empty is all glass."""
    rng = np.random.default_rng(sorted(SLIDES).index(slide.slide))
    pixels, _ = draw_pixels((8 * SIDE_PX, 8 * SIDE_PX), rng, dense=int(slide.label == "tumour"))
    thumbnail = Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), Image.Resampling.BOX)
    thumbnail.save(folder / "thumbnail.jpg", quality=90)
    mask = (np.asarray(thumbnail).min(axis=2) < 210) & (slide.slide != "empty")
    Image.fromarray(mask.astype(np.uint8) * 255).save(folder / "tissue.png")
    return {}
