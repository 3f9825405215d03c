"""extract_features: a row per tile, the encoder loaded once and only when needed."""

import numpy as np
import pytest
import torch

from tests.scripts.tile_study import shard, write_tiles
from workflow.lib.jobs.units import manifest
from workflow.lib.networks.encoders import build_encoder
from workflow.lib.tiles.stores import Tiles, open_group
from workflow.scripts import extract_features as script
from workflow.scripts.extract_features import extract_features

SETTINGS = {
    "encoder": "resnet18",
    "checkpoint": "random",
    "precision": "fp32",
    "engine": "eager",
    "seed": 0,
    "weights": None,
    "device": "cpu",
    "batch": 2,
    "threads": 1,
}


def extract(root, slides, **changed):
    settings = SETTINGS | changed
    made_from = {key: settings[key] for key in ("encoder", "checkpoint", "precision", "engine")}
    job = shard("extract_features", slides, **made_from)
    index = root / "features" / "all.json"
    extract_features(root / "tiles" / "all.json", index, shard=job, **settings)
    return index


@pytest.fixture
def study(tmp_path):
    kinds = {"a": ("plain", "train", 3), "b": ("striped", "train", 0), "c": ("plain", "train", -1)}
    return tmp_path, write_tiles(tmp_path, kinds)


def test_features_are_those_of_the_tiles_in_their_order(study):
    root, slides = study
    extract(root, slides)
    group = open_group(root / "features" / "a" / "features.zarr")
    tiles = Tiles(root / "tiles" / "a" / "tiles.zarr")
    encoder = build_encoder("resnet18", checkpoint="random", weights=None, seed=0)
    with torch.no_grad():
        expected = encoder(torch.from_numpy(tiles.batch([0, 1, 2])).permute(0, 3, 1, 2)).numpy()
    assert np.allclose(group["features"][:], expected, atol=1e-5)
    assert group["features"].dtype == np.float32
    assert dict(group.attrs) == {
        "encoder": "resnet18",
        "checkpoint": "random",
        "mpp": 1.0,
        "tile_px": 32,
    }
    assert group["bad"][:].tolist() == tiles.bad.tolist()
    facts = manifest(root / "features" / "a")["facts"]
    assert facts == {"tiles": 3, "dim": 512, "precision": "fp32", "engine": "eager"}


def test_no_tiles_and_no_slide_come_through(study):
    root, slides = study
    extract(root, slides)
    empty, bad = (manifest(root / "features" / name) for name in "bc")
    group = open_group(root / "features" / "b" / "features.zarr")
    assert empty["verdict"] == "ok_empty" and group["features"].shape == (0, 512)
    assert bad["verdict"] == "E_TILE" and bad["files"] == {}


def test_the_encoder_is_loaded_once_and_only_when_a_slide_needs_it(study, monkeypatch):
    root, slides = study
    built = []

    def build(*arguments, **settings):
        built.append(arguments)
        return build_encoder(*arguments, **settings)

    monkeypatch.setattr(script, "build_encoder", build)
    extract(root, slides)
    assert len(built) == 1
    index = extract(root, slides)
    assert len(built) == 1 and index.is_file()


def test_the_batch_changes_nothing_that_matters(study):
    root, slides = study
    extract(root, slides)
    first = open_group(root / "features" / "a" / "features.zarr")["features"][:]
    extract(root, slides, batch=64, precision="bf16")
    assert np.allclose(
        open_group(root / "features" / "a" / "features.zarr")["features"][:],
        first,
        rtol=0.1,
        atol=0.1,
    )


def test_a_network_is_compiled_once_and_facts_say_what_computed(study, tmp_path, monkeypatch):
    root, slides = study
    compiled = []
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    monkeypatch.setattr(torch, "compile", lambda net, **_: compiled.append(net) or net)
    extract(root, slides)
    assert manifest(root / "features" / "a")["facts"]["engine"] == "eager" and not compiled
    extract(root, slides, engine="compiled")
    made = [manifest(root / "features" / slide)["facts"]["engine"] for slide in ("a", "b")]
    assert made == ["compiled"] * 2 and len(compiled) == 1


def test_an_encoder_for_other_tiles_is_refused(study):
    root, slides = study
    with pytest.raises(RuntimeError, match="E_FIT: .* of 224 px, but these have 32 px.*tile_px"):
        extract(root, slides, encoder="vit_tiny_patch16_224")


def test_features_that_are_not_finite_name_the_slide(study, monkeypatch):
    root, slides = study

    def build(*arguments, **settings):
        encoder = build_encoder(*arguments, **settings)
        encoder.body.trunk.conv1.weight.data[0, 0, 0, 0] = float("nan")
        return encoder

    monkeypatch.setattr(script, "build_encoder", build)
    with pytest.raises(RuntimeError, match="First: a: .*not finite .* tile 0"):
        extract(root, slides)
    assert not (root / "features" / "a").exists()
