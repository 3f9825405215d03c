import numpy as np
import pytest
import torch

from tests.lib.held import HeldTiles
from workflow.lib.clusters.layer_features import layer_features, probe_layers
from workflow.lib.tiles.bags import TileBag

CPU = torch.device("cpu")


def layers(tiles):
    """A map of the colours, and one number that is already pooled."""
    return {"colour": tiles, "red": tiles[:, :1].amax(dim=(2, 3))}


def tiles(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)


def test_maps_are_averaged_and_features_left_as_they_are():
    pixels = tiles(5)
    read = lambda rows: pixels[np.asarray(rows)]  # noqa: E731
    found = list(layer_features(layers, read, 5, batch=2, device=CPU))
    assert [(rows.start, rows.stop) for rows, _ in found] == [(0, 2), (2, 4), (4, 5)]
    colour, red = (np.concatenate([part[name] for _, part in found]) for name in ("colour", "red"))
    assert np.allclose(colour, pixels.mean((1, 2)) / 255, atol=1e-6)
    assert np.allclose(red[:, 0], pixels[..., 0].max((1, 2)) / 255) and red.shape == (5, 1)
    assert list(layer_features(layers, read, 0, batch=2, device=CPU)) == []


def test_features_that_are_not_finite_are_named():
    pixels = tiles(5)
    pixels[3] = 0

    def broken(given):
        return {"first": given, "second": given / given.amax(dim=(1, 2, 3), keepdim=True)}

    with pytest.raises(ValueError, match="second gives features that are not finite.* tile 3"):
        list(
            layer_features(
                broken, lambda rows: pixels[rows.start : rows.stop], 5, batch=2, device=CPU
            )
        )


def bag(shades, seed):
    """A slide of four tiles per shade of red, the second bad; bright ones are of class 1."""
    stores = []
    for number, shade in enumerate(shades):
        pixels = tiles(4, seed + number)
        pixels[..., 0] = pixels[..., 0] // 4 + shade
        stores.append(HeldTiles(pixels, bad=[1]))
    labels = [int(shade > 60) for shade in shades]
    return TileBag([str(n) for n in range(len(shades))], stores, labels)


def test_probes_score_tiles_that_they_were_not_fitted_on():
    training, testing = bag([0, 10, 120, 130], 0), bag([5, 125], 50)
    found = probe_layers(layers, training, testing, penalty=1.0, batch=5, device=CPU)
    assert [(name, dim) for name, dim, _ in found] == [("colour", 3), ("red", 1)]
    for _, _, probability in found:
        assert probability.shape == (6, 2) and probability.dtype == np.float32
        assert np.allclose(probability.sum(1), 1, atol=1e-6)
        assert probability[:3, 1].max() < 0.5 < probability[3:, 1].min()


def test_only_drawn_tiles_are_learnt_from():
    training, testing = bag([0, 10, 120, 130], 0), bag([5, 125], 50)
    drawn = np.array([0, 3, 6, 10])
    kept = [training.stores[s].tiles.copy() for s in range(4)]
    for store, row in zip(training.stores, [0, 0, 0, 2], strict=True):
        black = np.setdiff1d(np.arange(4), [row])
        store.tiles[black] = 0
    arguments = {"penalty": 1.0, "batch": 5, "device": CPU}
    first = probe_layers(layers, training.only(drawn), testing, **arguments)
    for store, pixels in zip(training.stores, kept, strict=True):
        store.tiles = pixels
    second = probe_layers(layers, training.only(drawn), testing, **arguments)
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(first, second, strict=True))


def test_no_tile_to_test_is_no_score():
    training = bag([0, 120], 0)
    found = probe_layers(layers, training, bag([], 0), penalty=1.0, batch=5, device=CPU)
    assert [probability.shape for _, _, probability in found] == [(0, 2), (0, 2)]
