"""The autoencoder: the sizes of its maps, what it sees of a tile, and what is saved comes back."""

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow.lib.clusters.autoencoders import Autoencoder
from workflow.lib.clusters.networks import load_network


def autoencoder(embedding=5, side_px=16, tile_px=32, seed=0):
    made = Autoencoder(embedding, side_px, tile_px=tile_px, mpp=0.5)
    return made.untrained(seed)


@settings(max_examples=8)
@given(st.integers(1, 6), st.integers(2, 20), st.integers(1, 3))
@torch.no_grad()
def test_every_convolution_halves_the_side_and_its_mirror_doubles_it(eighth, embedding, tiles):
    side = 8 * eighth
    model = autoencoder(embedding, side)
    layers = model.layers(torch.rand(tiles, 3, side, side))
    shapes = {name: tuple(found.shape) for name, found in layers.items()}
    assert shapes == {
        "conv1": (tiles, 32, side // 2, side // 2),
        "conv2": (tiles, 64, side // 4, side // 4),
        "conv3": (tiles, 128, side // 8, side // 8),
        "embedding": (tiles, embedding),
    }
    assert list(shapes) == ["conv1", "conv2", "conv3", "embedding"]
    assert model.decode(layers["embedding"]).shape == (tiles, 3, side, side)


def test_the_layers_are_those_of_the_paper():
    """Channels, kernels and what follows each layer, from Guo et al. 2017."""
    model = autoencoder(10, 32)
    sizes = [(c.out_channels, *c.kernel_size, *c.stride) for c in model.convolutions]
    assert sizes == [(32, 5, 5, 2, 2), (64, 5, 5, 2, 2), (128, 3, 3, 2, 2)]
    mirror = [(c.out_channels, *c.kernel_size, *c.stride) for c in model.deconvolutions]
    assert mirror == [(64, 3, 3, 2, 2), (32, 5, 5, 2, 2), (3, 5, 5, 2, 2)]
    assert (model.to_code.in_features, model.to_code.out_features) == (128 * 4 * 4, 10)
    with torch.no_grad():
        layers = model.layers(torch.rand(4, 3, 32, 32))
        drawn = model.decode(100 * torch.randn(8, 10))
    assert all(layers[name].min() == 0 for name in ("conv1", "conv2", "conv3"))  # ReLU
    assert layers["embedding"].min() < 0 and drawn.min() < 0  # none


@torch.no_grad()
def test_a_code_is_that_of_the_shrunk_tile():
    model, tiles = autoencoder(), torch.rand(3, 3, 32, 32)
    small = model.shrink(tiles)
    by_hand = tiles.unflatten(3, (16, 2)).unflatten(2, (16, 2)).mean(dim=(3, 5))
    assert torch.allclose(small, by_hand, atol=1e-6)
    expected = model.encode(by_hand)
    assert torch.allclose(model.embed(tiles), expected, atol=1e-5)
    assert torch.allclose(model.layers(tiles)["embedding"], expected, atol=1e-5)
    assert torch.equal(model(tiles), model.embed(tiles))
    assert torch.equal(model.shrink(small), small)


@torch.no_grad()
def test_small_tiles_have_their_pixels_repeated():
    tiles = torch.rand(1, 3, 8, 8)
    expected = tiles.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert torch.allclose(autoencoder().shrink(tiles), expected, atol=1e-6)


def test_untrained_is_another_draw_of_the_same_network():
    model = autoencoder(seed=1)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    again, other = model.untrained(1), model.untrained(2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(again.first_filters(), model.first_filters())
    assert not torch.equal(other.first_filters(), model.first_filters())
    assert (other.dim, other.side_px, other.tile_px, other.mpp) == (5, 16, 32, 0.5)
    assert not other.training and model.start(None) is None
    assert model.first_filters().shape == (32, 3, 5, 5)
    assert not model.first_filters().requires_grad


def test_a_side_that_the_strides_do_not_divide_is_refused():
    for side in (20, 4, 0):
        with pytest.raises(ValueError, match=rf"side_px is {side}; write a multiple of 8"):
            Autoencoder(4, side, tile_px=32, mpp=1.0)


@torch.no_grad()
def test_what_is_saved_comes_back(tmp_path):
    model, tiles = autoencoder(), torch.rand(2, 3, 32, 32)
    record = model.save(tmp_path, {"best_epoch": 3})
    assert record == json.loads((tmp_path / "model.json").read_text())
    sizes = {"embedding": 5, "side_px": 16, "tile_px": 32, "mpp": 0.5, "best_epoch": 3}
    assert record == sizes | {"kind": "dcec", "sha256": record["sha256"]}
    torch.manual_seed(1)
    expected_draw = torch.rand(1)
    torch.manual_seed(1)
    loaded = load_network(tmp_path)
    assert torch.equal(torch.rand(1), expected_draw)
    assert isinstance(loaded, Autoencoder) and not loaded.training
    assert torch.equal(loaded.embed(tiles), model.embed(tiles))
    assert torch.equal(loaded.decode(loaded.embed(tiles)), model.decode(model.embed(tiles)))
    assert (loaded.dim, loaded.tile_px, loaded.mpp) == (5, 32, 0.5)


@pytest.mark.parametrize("harm", ["flip", "cut"])
def test_damaged_weights_are_not_used(tmp_path, harm):
    autoencoder().save(tmp_path, {})
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[-1] ^= 64
    (tmp_path / "model.safetensors").write_bytes(content if harm == "flip" else content[:-9])
    with pytest.raises(ValueError, match=r"model.safetensors.*delete its folder and run again"):
        Autoencoder.load(tmp_path)
