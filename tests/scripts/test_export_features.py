"""Features of a study on disk, in the files of other programs."""

import h5py
import numpy as np
import pytest
import torch

from tests.scripts import exported, outcome
from workflow.lib.jobs.units import manifest
from workflow.lib.tiles.stores import Tiles, open_group


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study with its features exported, shared by all tests: do not change it."""
    study = tmp_path_factory.mktemp("study")
    outcome.build(study)
    exported.write_features(study)
    return study


@pytest.mark.parametrize("slide", ["a1", "empty"])
def test_files_hold_the_features_of_the_slide(finished, slide):
    features = open_group(finished / "features" / slide / "features.zarr")["features"][:]
    origins = Tiles(finished / "tiles" / slide / "tiles.zarr").origins
    folder = finished / "feature_files" / slide
    with h5py.File(folder / "trident.h5") as file:
        np.testing.assert_array_equal(file["features"][:], features)
        np.testing.assert_array_equal(file["coords"][:], origins[:, ::-1])
        assert file["coords"].attrs["name"] == slide
        assert file["features"].attrs["encoder"] == "made up"
    with h5py.File(folder / "stamp.h5") as file:
        np.testing.assert_array_equal(file["feats"][:], features)
        assert file.attrs["code_hash"] == manifest(finished / "features" / slide)["recipe"][:16]
    tensor = torch.load(folder / "clam.pt", weights_only=True)
    np.testing.assert_array_equal(tensor.numpy(), features)
    assert features.shape == (0 if slide == "empty" else 6, 4)


def test_facts_count_tiles_that_could_not_be_read(finished):
    facts = manifest(finished / "feature_files" / "a1")["facts"]
    assert facts == {"tiles": 6, "dim": 4, "bad": 1}


def test_a_quarantined_slide_keeps_its_verdict(finished):
    found = manifest(finished / "feature_files" / "lost")
    assert (found["verdict"], found["files"]) == ("E_MPP", {})


@pytest.mark.parametrize(
    "formats, files",
    [
        (["stamp"], {"stamp.h5"}),
        (["trident"], {"trident.h5"}),
        (["clam"], {"trident.h5", "clam.pt"}),
    ],
)
def test_only_the_formats_that_are_asked_for(finished, tmp_path, formats, files):
    study = tmp_path / "study"
    for stage in ("tiles", "features"):
        study.mkdir(exist_ok=True)
        (study / stage).symlink_to(finished / stage)
    folder = exported.write_features(study, formats)
    assert set(manifest(folder / "a1")["files"]) == files
