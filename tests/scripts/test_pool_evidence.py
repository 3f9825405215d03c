"""Evidence pooled over a study on disk: of the training slides alone, and the same every time."""

import shutil

import numpy as np
import pytest
import torch
import zarr

from tests.scripts import cohort
from workflow.lib.clusters.clusters import assign
from workflow.lib.evidence.consistency import Evidence, locations, look
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.tiles.inference import to_input
from workflow.lib.tiles.stores import Tiles
from workflow.scripts import pool_evidence as script

CELLS = 8  # locations along a side of 64 px at a stride of 8


@pytest.fixture(scope="module")
def pooled(finished, tmp_path_factory):
    """A study with its evidence, shared by the tests that only look."""
    root = tmp_path_factory.mktemp("pooled") / "study"
    shutil.copytree(finished.root, root)
    study = type(finished)(root)
    return study, study.pool_evidence()


def content(unit):
    return (unit / "evidence.npz").read_bytes()


def test_it_is_of_the_readable_tiles_of_the_training_slides(pooled):
    """Two training slides of five tiles, of which one cannot be read; a third is quarantined."""
    _, unit = pooled
    facts, found = manifest(unit)["facts"], Evidence.load(unit)
    assert facts["n_tiles"] == 9 and facts["k"] == 6
    assert found.evidence.shape == (6, 2) and found.stride == 8
    assert len(found.clusters.mean) == 128  # channels of resnet18 at a stride of 8
    assert facts["spread"] == pytest.approx(found.evidence.std(axis=0), abs=1e-4)
    assert facts["loss"] > 0 and set(manifest(unit)["files"]) == {"evidence.npz"}


@torch.no_grad()
def test_evidence_is_the_weighted_mean_of_the_cams_in_each_cluster(pooled):
    """Location by location: a tile of n1 weighs 1/10, one of the four that are left of p1 1/8."""
    study, unit = pooled
    found, model = Evidence.load(unit), Classifier.load(study.classifier.with_suffix(""))
    total, weight = np.zeros((6, 2)), np.zeros(6)
    for slide, rows in (("n1", [0, 1, 2, 3, 4]), ("p1", [0, 1, 3, 4])):
        pixels = Tiles(study.tiles.parent / slide / "tiles.zarr").batch(rows)
        cams, maps = look(model, to_input(pixels, torch.device("cpu")), 2)
        assert maps.shape[2:] == (CELLS, CELLS)
        own = torch.nn.functional.interpolate(cams, (CELLS, CELLS), mode="bilinear")
        ids, _ = assign(locations(maps), found.clusters)
        for cluster, values in zip(ids, locations(own), strict=True):
            total[cluster] += values / (2 * len(rows) * CELLS**2)
            weight[cluster] += 1 / (2 * len(rows) * CELLS**2)
    assert weight.min() > 0 and weight.sum() == pytest.approx(1)
    assert found.evidence == pytest.approx(total / weight[:, None], rel=1e-3, abs=1e-4)


def test_slides_that_are_not_learnt_from_are_not_even_opened(pooled, study):
    for slide, split in cohort.SPLITS.items():
        if split != "train":
            shutil.rmtree(study.tiles.parent / slide)
    unit = study.pool_evidence()
    assert content(unit) == content(pooled[1])
    assert manifest(unit)["recipe"] == manifest(pooled[1])["recipe"]


def test_what_stands_in_a_tile_that_cannot_be_read_changes_nothing(pooled, study):
    store = zarr.open_group(study.tiles.parent / "p1" / "tiles.zarr", mode="r+")
    store["pixels"][cohort.UNREADABLE["p1"]] = 255
    assert content(study.pool_evidence()) == content(pooled[1])
    store["pixels"][0] = 255
    shutil.rmtree(study.evidence.parent)
    assert content(study.pool_evidence()) != content(pooled[1])


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(pooled, study):
    assert content(study.pool_evidence()) == content(pooled[1])
    again = Evidence.load(study.pool_evidence(seed=1))
    assert not np.array_equal(again.evidence, Evidence.load(pooled[1]).evidence)


def test_the_batch_size_changes_next_to_nothing(pooled, study):
    found, expected = Evidence.load(study.pool_evidence(batch=9)), Evidence.load(pooled[1])
    assert found.evidence == pytest.approx(expected.evidence, abs=1e-3)


def test_fewer_locations_than_clusters_make_fewer_clusters(study):
    unit = study.pool_evidence(count=50, locations_per_tile=2, max_tiles=7)
    found = Evidence.load(unit)
    assert manifest(unit)["facts"]["k"] == len(found.evidence) <= 14
    assert (
        manifest(unit)["facts"]["n_tiles"] == 9
    )  # all are pooled, whatever clusters are fitted to
    assert np.isfinite(found.evidence).all()


def test_another_classifier_makes_other_evidence(study):
    before = manifest(study.pool_evidence())["recipe"]
    folder = study.classifier.with_suffix("")
    text = (folder / "manifest.json").read_text()
    recipe = manifest(folder)["recipe"]
    (folder / "manifest.json").write_text(text.replace(recipe, "0" * len(recipe)))
    assert manifest(study.pool_evidence())["recipe"] != before


def test_a_stride_that_no_map_has_is_a_sentence(study):
    with pytest.raises(ValueError, match="pool_evidence.stride is 1, .* stride of 2; use that"):
        study.pool_evidence(stride=1)


@pytest.mark.parametrize("which", [0, 1])
def test_what_is_not_finite_names_the_slides(study, monkeypatch, which):
    def sick(*arguments):
        found = look(*arguments)
        found[which][0] = torch.nan
        return found

    monkeypatch.setattr(script, "look", sick)
    with pytest.raises(ValueError, match="classifier of fold 0 makes of tiles of n1 is not finite"):
        study.pool_evidence()
    assert not study.evidence.exists()
