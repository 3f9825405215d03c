"""Damage in results is named by stage and slide, and made again without anything else."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.workflow.study import Study

UNLABELLED = {"labels": {"level": "image", "classes": [], "negative": None}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A study without labels (quick: nothing is trained), finished without trouble."""
    study = Study.make(
        tmp_path_factory.mktemp("undisturbed"), slides=4, slides_per_shard=2, **UNLABELLED
    )
    study.run()
    return study


@pytest.fixture
def study(undisturbed, tmp_path):
    return undisturbed.copy(tmp_path / "study")


def verify(study, *arguments):
    command = [sys.executable, "-m", "workflow.tools.verify", "results/small", *arguments]
    done = subprocess.run(
        command, cwd=study.folder, env=study.environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def repair(study):
    return verify(study, "--repair", "--cores", "2", "--configfile", "study.yaml")


def flip(file):
    """Another byte in the middle, and the times as they were: nothing but the content tells."""
    seen, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def largest(folder):
    return max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)


def test_every_kind_of_damage_is_named_and_only_that_is_made_again(study, undisturbed):
    """A flipped byte in each kind of store, record and table; a lost unit, index and table."""
    results = study.results
    made = {file: file.stat().st_mtime_ns for file in results.rglob("manifest.json")}
    stores = {
        "tissue": results / "tissue/s01",
        "tiles": results / "tiles/s02",
        "features": results / "features/s02",
        "clusters": results / "clusters/kmeans/fold0",
        "assignments": results / "assignments/kmeans/fold0/s04",
    }
    for unit in stores.values():
        flip(largest(unit))
    flip(results / "checks/s03/manifest.json")
    stores |= {"checks": results / "checks/s03"}
    index = sorted((results / "tissue").glob("*.json"))[1]
    flip(index)
    flip(results / "splits.tsv")
    flip(results / ".audit.tsv.recipe.json")
    shutil.rmtree(results / "cluster_maps/kmeans/s01")
    stores |= {"cluster_maps": results / "cluster_maps/kmeans/s01"}
    lost = sorted((results / "features").glob("*.json"))[0]
    lost.unlink()
    (results / "metrics.tsv").unlink()
    (results / "evaluation/.clusters.tsv.recipe.json").unlink()

    status, said = verify(study)
    assert status == 1 and "Remedy: " in said
    for unit in stores.values():
        assert unit.relative_to(results).as_posix() in said.split("E_DAMAGED")[0]
    assert "E_DAMAGED: made by extract_features: features/s02" in said
    for file in (index, results / "splits.tsv", results / "metrics.tsv"):
        assert f"{file.relative_to(study.folder)}: " in said
    assert ".audit.tsv.recipe.json: cannot be read" in said
    assert "Listed by no index" in said and "features/s0" in said.split("Listed by no index")[1]

    status, said = repair(study)
    assert status == 0 and "0 problems found" in said, said
    assert study.tree() == undisturbed.tree()
    again = {file.parent for file in made if file.stat().st_mtime_ns != made[file]}
    assert again == set(stores.values())
    assert not list(results.rglob(".*.draft"))
    assert set(study.would_run()) == set()


def test_a_repair_runs_no_job_but_those_of_the_damage(study, undisturbed):
    """Not those of features and clusters, which lie between the two."""
    flip(largest(study.results / "tiles/s03"))
    flip(largest(study.results / "assignments/kmeans/fold0/s03"))
    status, said = repair(study)
    assert status == 0 and "2/2 steps" in said
    assert study.tree() == undisturbed.tree() and set(study.would_run()) == set()


def test_files_of_others_and_folders_elsewhere_are_left_alone(study, tmp_path):
    """A note in a unit, and a stage that was moved to another disk: no repair touches them."""
    note = study.results / "features/s01/note.txt"
    note.write_text("mine")
    flip(largest(study.results / "features/s01"))
    status, said = repair(study)
    assert status == 1 and "Left alone: " in said and note.read_text() == "mine"
    note.unlink()
    elsewhere = tmp_path / "elsewhere"
    shutil.move(study.results / "features", elsewhere)
    (study.results / "features").symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    unit = study.results / "tiles/s01"
    shutil.move(unit, tmp_path / "unit")
    unit.symlink_to(tmp_path / "unit")
    flip(largest(tmp_path / "unit"))
    status, said = repair(study)
    assert status == 2 and "Nothing was changed" in said and "no folder inside" in said
    assert sorted(elsewhere.rglob("*")) == before and (tmp_path / "unit/manifest.json").is_file()


def test_nothing_is_repaired_while_somebody_writes(study):
    flip(largest(study.results / "tiles/s03"))
    tree = study.tree()
    lock = study.folder / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir()
    lock.write_text("results/small/report.html\n")
    assert repair(study)[0] == 2 and "snakemake --unlock" in repair(study)[1]
    lock.unlink()
    job = [sys.executable, "-c", "import time; time.sleep(60)", ".snakemake/scripts/tmp.job.py"]
    orphan = subprocess.Popen(job, cwd=study.folder)
    try:
        status, said = repair(study)
        assert status == 2 and f"processes {orphan.pid} are at work here" in said
    finally:
        orphan.kill()
        orphan.wait()
    draft = study.results / "tiles/.s04.12@node7@ab.draft"
    draft.mkdir()
    status, said = repair(study)
    assert status == 2 and "another machine or container writes" in said
    assert study.tree() == tree


def test_a_config_of_another_study_repairs_nothing(study):
    flip(largest(study.results / "tiles/s03"))
    study.edit_config(None, study="other")
    tree = study.tree()
    status, said = repair(study)
    assert status == 2 and "this config makes nothing in results/small" in said
    assert study.tree() == tree
