"""`snakemake export` in a real study: made, checked, left alone, and stale exactly where it is."""

import subprocess
import sys

import anndata
import pytest

from tests.workflow import canaries
from tests.workflow.edits import LIB, edit
from tests.workflow.stages import CLASSES_OUT, FEATURES_OUT, POLYGONS_OUT, TILES_OUT
from tests.workflow.study import Study
from tests.workflow.test_repair import UNLABELLED, flip, largest, repair

EXPORT_EDITS = {
    "nothing": (lambda s: None, set()),
    "files of features that nobody opens": (
        lambda s: s.edit_config("export_features", formats=["trident"]),
        FEATURES_OUT,
    ),
    "where polygons begin": (
        lambda s: s.edit_config("stitch_heatmap", polygon_threshold=0.6),
        {"stitch_heatmap"} | POLYGONS_OUT,
    ),
    "neighbours on the plane": (
        lambda s: s.edit_config("draw_embeddings", perplexity=20),
        {"draw_embeddings", "export_cohort"},
    ),
    "clusters that are exported": (
        lambda s: s.edit_config("train_clusters", count=4),
        {"train_clusters", "assign_clusters", "draw_embeddings"} | TILES_OUT,
    ),
    "how squares are drawn": (
        lambda s: edit(s, f"{LIB}/exports/tile_squares.py", "def ", "X = 1\n\n\ndef "),
        TILES_OUT,
    ),
    "how classes are laid out": (
        lambda s: edit(s, f"{LIB}/maps/class_maps.py", "def ", "X = 1\n\n\ndef "),
        CLASSES_OUT,
    ),
    "how features are written": (
        lambda s: edit(s, f"{LIB}/exports/feature_files.py", "CHUNK_ROWS = 256", "CHUNK_ROWS = 9"),
        FEATURES_OUT,
    ),
    "how polygons are written": (
        lambda s: edit(s, f"{LIB}/exports/asap.py", "#999999", "#000000"),
        POLYGONS_OUT,
    ),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A study that has nothing but what its exports need, once for this module."""
    small = {"slides_per_shard": 8, "refine_masks": {"methods": ["none"]}}
    study = Study.make(tmp_path_factory.mktemp("exported"), **small)
    canaries.plant(study.folder / "cohort/slides")
    study.run("--", "export")
    return study


@pytest.fixture
def planned(exported, tmp_path):
    return exported.beside(tmp_path / "study")


def would_run(study):
    jobs = study.would_run("--", "export")
    del jobs["export"]
    return set(jobs)


@pytest.mark.parametrize("name", EXPORT_EDITS)
def test_one_edit_exactly_these_exports(planned, name):
    change, expected = EXPORT_EDITS[name]
    change(planned)
    assert would_run(planned) == expected


def test_exports_are_whole_and_are_no_part_of_a_report(exported):
    folder = exported.results / "exports"
    assert not (exported.results / "report.html").exists()
    made = {file.name for file in folder.iterdir() if not file.name.startswith(".")}
    programs = ("trident", "clam", "stamp", "tissue", "qupath", "asap")
    assert made == {"cohort.h5ad", "tiles.parquet", "tiles.tsv"} | set(programs) | {
        f"{program}.json" for program in programs
    }
    cohort = anndata.read_h5ad(folder / "cohort.h5ad")
    assert set(cohort.obs["slide"]) == {file.stem for file in (folder / "stamp").glob("*.h5")}
    done = subprocess.run(
        [sys.executable, "-m", "workflow.tools.verify", "results/small"],
        cwd=exported.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, "0 problems found" in done.stdout) == (0, True)


def test_no_name_and_no_label_leaves_a_slide(exported):
    assert canaries.find(exported.folder) == canaries.PLANTED


def test_the_default_target_asks_for_no_export(planned):
    assert not {rule for rule in planned.would_run() if "export" in rule}


def test_a_damaged_export_is_made_again_and_no_other(tmp_path):
    """A flipped byte in a table and in a unit, whose files are links to those of another stage; a
    record and an index that were lost."""
    study = Study.make(tmp_path, slides=4, slides_per_shard=4, **UNLABELLED)
    study.run("--", "export")
    whole, results = study.tree(), study.results
    flip(results / "exports/tiles.tsv")
    flip(largest(results / "exports/stamp"))
    (results / "exports/.cohort.h5ad.recipe.json").unlink()
    next((results / "tissue_polygons").glob("*.json")).unlink()
    status, said = repair(study)
    assert status == 0 and "0 problems found" in said, said
    assert study.tree() == whole and "4/4 steps" in said
    assert not (results / "report.html").exists()
