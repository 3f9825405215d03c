"""Studies that several tests start from, made once."""

import shutil

import numpy as np
import pytest

from tests.scripts import cluster_study, cohort, outcome
from tests.scripts.page import Page
from tests.scripts.reported import Finished
from workflow.scripts.make_cams import make_cams
from workflow.scripts.make_pseudo_masks import make_pseudo_masks
from workflow.scripts.map_glands import map_glands
from workflow.scripts.pool_evidence import pool_evidence
from workflow.scripts.refine_masks import refine_masks

COMPUTE = {"device": "cpu", "batch": 3, "threads": 1}
POOL = {
    "count": 6,
    "pca": 8,
    "iterations": 5,
    "stride": 8,
    "locations_per_tile": 20,
    "max_tiles": 2000,
    "seed": 0,
}


class Study:
    """Paths and stages of a study on disk, called as Snakemake would."""

    def __init__(self, root):
        self.root = root
        self.tiles, self.splits = root / "tiles" / "all.json", root / "splits.tsv"
        self.classifier = root / "classifiers" / "fold0.json"
        self.evidence = root / "evidence" / "fold0.json"
        self.cams = self.cams_by("cam")
        self.pseudo_masks = root / "pseudo_masks" / "fold0" / "all.json"

    def copy(self, root):
        shutil.copytree(self.root, root)
        return Study(root)

    def train(self, stage, folder, settings, *, made_of=None, **inputs):
        """The unit that a stage which trains a decoder writes into decoders/`folder`."""
        index = self.root / "decoders" / folder / "fold0.json"
        given = {"tiles": [self.tiles], "splits": self.splits, "classifier": self.classifier}
        stage(
            **given | inputs,
            decoder=index,
            shard=made_of or cohort.shard(stage.__name__, **settings),
            fold=0,
            work=index.with_name(".work"),
            device=COMPUTE["device"],
            threads=COMPUTE["threads"],
            **settings,
        )
        return index.with_suffix("")

    def refine(self, method, decoder=None, *, cams=None, downsample=1, cam_scale="minmax", **own):
        """The folder of masks refined by a method, with the unit of its decoder."""
        index = self.root / "refined" / method / "fold0" / "all.json"
        settings = {"downsample": downsample, "cam_scale": cam_scale, **own}
        refine_masks(
            *(self.tiles, cams or self.cams, self.splits, self.classifier),
            decoder and decoder.with_suffix(".json"),
            index,
            shard=cohort.shard("refine_masks", **settings),
            fold=0,
            method=method,
            **settings,
            **COMPUTE,
        )
        return index.parent

    def pool_evidence(self, *, batch=3, **changes):
        settings = POOL | changes
        fixed = {"shard": cohort.shard("pool_evidence", **settings), "fold": 0, **settings}
        where = ([self.tiles], self.splits, self.classifier, self.evidence)
        pool_evidence(*where, **(fixed | COMPUTE | {"batch": batch}))
        return self.evidence.with_suffix("")

    def cams_by(self, cam):
        return self.root / "cams" / cam / "fold0" / "all.json"

    def make_cams(self, cam="cam", *, batch=3, **changes):
        settings = {"classes": cohort.CLASSES, "pooling": "mean", "negative": "normal"}
        settings |= {"scales": [1.0], "flips": False, "consistency": 0.0} | changes
        made_of = cohort.shard("make_cams", cam=cam, **settings)
        fixed = {"shard": made_of, "fold": 0, "cam": cam, **settings, **COMPUTE, "batch": batch}
        evidence = self.evidence if settings["consistency"] else None
        glands = self.root / "glands" / "all.json" if cam == "glands" else None
        where = (self.tiles, self.splits, self.classifier, evidence, glands, self.cams_by(cam))
        make_cams(*where, **fixed)

    def map_glands(self, **changes):
        settings = {"cell_px": 4, "blur_um": 1.0, "wall_um": 2.0}
        settings |= {"min_lumen_um2": 20.0, "max_lumen_um2": 2000.0} | changes
        index = self.root / "glands" / "all.json"
        map_glands(self.tiles, index, shard=cohort.shard("map_glands", **settings), **settings)
        return index.parent

    def make_pseudo_masks(self, **changes):
        settings = {"foreground": 0.6, "background": 0.2, "negative": "normal"}
        settings |= {"cam_scale": "minmax"} | changes
        made_of = cohort.shard("make_pseudo_masks", **settings)
        where = (self.cams, self.tiles, self.splits, self.pseudo_masks)
        make_pseudo_masks(*where, shard=made_of, fold=0, **settings)


@pytest.fixture(scope="session")
def clustered(tmp_path_factory):
    """The made-up study of outcome.py with the clusters of both folds."""
    study = tmp_path_factory.mktemp("clusters")
    outcome.build(study)
    for fold in (0, 1):
        cluster_study.train(study, fold)
        cluster_study.assign(study, fold)
    return study


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A study up to its pseudo-masks, shared by all tests: copy it, do not change it."""
    study = Study(tmp_path_factory.mktemp("study"))
    cohort.build(study.root)
    study.make_cams()
    study.make_pseudo_masks()
    return study


@pytest.fixture
def study(finished, tmp_path):
    """A copy of `finished` that a test may change."""
    return finished.copy(tmp_path / "study")


@pytest.fixture(scope="session")
def predicted(tmp_path_factory):
    """The study of outcome.py without maps or scores; tests work on a copy."""
    folder = tmp_path_factory.mktemp("predicted")
    outcome.build(folder)
    return folder


@pytest.fixture
def made_study(tmp_path, monkeypatch):
    """Builds a study as write_report finds it in a folder of its own, and stands there."""
    monkeypatch.chdir(tmp_path)
    return lambda mask=None, **words: Finished(tmp_path, **words).build(mask)


@pytest.fixture(scope="session")
def report_page(tmp_path_factory):
    """The page of a labelled study with pixel truth, made once: read it, do not change it."""
    root = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        mask = np.zeros((400, 400), np.uint8)
        mask[100:300, 100:200] = 1
        return Page(Finished(root).build(mask).report())
