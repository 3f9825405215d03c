"""Features in files, read field by field as TRIDENT, CLAM and STAMP read them."""

import json

import h5py
import numpy as np
import pytest
import torch

from workflow.lib.exports.feature_files import (
    Geometry,
    write_stamp,
    write_tensor,
    write_trident,
)

GEOMETRY = Geometry(mpp=0.5, scale=2.0, tile_px=224, stride_px=200, width_px0=5000, height_px0=3000)
UNEVEN = Geometry(
    mpp=1.3, scale=1.3 / 0.499, tile_px=48, stride_px=48, width_px0=905, height_px0=701
)
ORIGINS = np.array([(0, 448), (448, 0), (896, 1344)])
FEATURES = np.arange(12, dtype=np.float32).reshape(3, 4)


def trident(path, features=FEATURES, origins=ORIGINS, geometry=GEOMETRY, step=2):
    blocks = (features[start : start + step] for start in range(0, len(features), step))
    about = {"dimension": features.shape[1], "slide": "s-1", "encoder": "uni"}
    write_trident(path, blocks, origins, geometry, **about)
    return path


def stamp(path, features=FEATURES, origins=ORIGINS, geometry=GEOMETRY):
    about = {"dimension": features.shape[1], "encoder": "uni", "recipe": "abc"}
    write_stamp(path, iter([features]), origins, geometry, **about)
    return path


def test_what_slide_encoders_of_trident_read(tmp_path):
    with h5py.File(trident(tmp_path / "s-1.h5")) as file:
        coords, attrs = file["coords"][:], dict(file["coords"].attrs)
        np.testing.assert_array_equal(file["features"][:], FEATURES)
        assert dict(file["features"].attrs) == {"name": "s-1", "savetodir": ".", "encoder": "uni"}
    assert coords.dtype == np.int64
    assert coords.tolist() == [[448, 0], [0, 448], [1344, 896]]  # x before y
    for mandatory in ("patch_size", "level0_magnification", "target_magnification"):
        assert attrs[mandatory] is not None
    assert (attrs["patch_size"], attrs["patch_size_level0"], attrs["overlap"]) == (224, 448, 24)
    assert (attrs["level0_magnification"], attrs["target_magnification"]) == (40, 20)
    assert (attrs["level0_width"], attrs["level0_height"]) == (5000, 3000)
    json.dumps({name: np.asarray(value).tolist() for name, value in attrs.items()})


@pytest.mark.parametrize("geometry", [GEOMETRY, UNEVEN])
def test_a_patcher_between_magnifications_cuts_the_same_pixels(tmp_path, geometry):
    """TRIDENT asks for patch_size * source // target magnification px of level 0."""
    with h5py.File(trident(tmp_path / "a.h5", geometry=geometry)) as file:
        attrs = dict(file["coords"].attrs)
    quotient = attrs["level0_magnification"] / attrs["target_magnification"]
    assert quotient == pytest.approx(geometry.scale, rel=1e-12)
    assert attrs["patch_size_level0"] == round(attrs["patch_size"] * quotient)


@pytest.mark.parametrize("geometry", [GEOMETRY, UNEVEN])
def test_what_readers_of_clam_files_read(tmp_path, geometry):
    """Pixels of a level, times its downsample, times the further one that older readers know."""
    with h5py.File(trident(tmp_path / "a.h5", geometry=geometry)) as file:
        attrs = file["coords"].attrs
        side = attrs["patch_size"] * attrs["downsample"][0] * attrs.get("custom_downsample", 1)
        assert attrs["patch_level"] == 0
        assert attrs["level_dim"].tolist() == [geometry.width_px0, geometry.height_px0]
        assert attrs["save_path"] == "."
    assert side == pytest.approx(geometry.tile_px * geometry.scale)


def test_files_can_grow(tmp_path):
    """TRIDENT appends with resize."""
    with h5py.File(trident(tmp_path / "a.h5"), "r+") as file:
        for name in ("features", "coords"):
            file[name].resize(5, axis=0)
        assert file["features"].shape == (5, 4)


def test_what_stamp_reads(tmp_path):
    with h5py.File(stamp(tmp_path / "a.h5")) as file:
        attrs = dict(file.attrs)
        np.testing.assert_array_equal(file["feats"][:], FEATURES)
        coords = file["coords"][:]
    assert "tile_size" not in attrs  # of old files; a reader would look no further
    assert "stamp_version" not in attrs  # a reader that is older would refuse the file
    assert (attrs["unit"], attrs["feat_type"], attrs["extractor"]) == ("um", "tile", "uni")
    assert attrs["tile_size_um"] / attrs["tile_size_px"] == 0.5  # its mpp
    np.testing.assert_allclose(coords, ORIGINS[:, ::-1] * 0.25)
    assert coords.dtype.kind == "f"
    assert attrs["code_hash"] == "abc"


def test_places_in_um_and_in_px_are_the_same_places(tmp_path):
    with h5py.File(trident(tmp_path / "t.h5", geometry=UNEVEN)) as file:
        px = file["coords"][:]
    with h5py.File(stamp(tmp_path / "s.h5", geometry=UNEVEN)) as file:
        np.testing.assert_allclose(file["coords"][:], px * 0.499)


def test_a_slide_without_tiles(tmp_path):
    none, nowhere = np.zeros((0, 4), np.float32), np.zeros((0, 2), np.int64)
    with h5py.File(trident(tmp_path / "t.h5", none, nowhere)) as file:
        assert (file["features"].shape, file["coords"].shape) == ((0, 4), (0, 2))
        assert file["coords"].attrs["patch_size"] == 224
    with h5py.File(stamp(tmp_path / "s.h5", none, nowhere)) as file:
        assert (file["feats"].shape, file["coords"].shape) == ((0, 4), (0, 2))


@pytest.mark.parametrize(
    "count, sentence",
    [(2, "features: 2 rows of features for 3 tiles"), (4, "more rows of features than the 3")],
)
def test_features_that_are_not_one_per_tile(tmp_path, count, sentence):
    with pytest.raises(ValueError, match=sentence):
        trident(tmp_path / "a.h5", np.zeros((count, 4), np.float32))


@pytest.mark.parametrize("count", [0, 3])
def test_a_tensor_loads_without_unpickling_code(tmp_path, count):
    features = np.random.default_rng(0).standard_normal((count, 4))
    write_tensor(tmp_path / "clam.pt", features)
    loaded = torch.load(tmp_path / "clam.pt", weights_only=True)
    assert (loaded.dtype, loaded.shape) == (torch.float32, (count, 4))
    np.testing.assert_array_equal(loaded.numpy(), features.astype(np.float32))


def tensor(path):
    path = path.with_suffix("") / "clam.pt"  # a tensor's file holds its own name
    path.parent.mkdir()
    write_tensor(path, FEATURES)
    return path


@pytest.mark.parametrize("write", [trident, stamp, tensor])
def test_the_same_features_give_the_same_bytes(tmp_path, write):
    first, second = write(tmp_path / "a.h5"), write(tmp_path / "b.h5")
    assert first.read_bytes() == second.read_bytes()
