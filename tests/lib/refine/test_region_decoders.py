"""The decoder with a bank of prototypes: what is learnt, kept and loaded."""

import pytest
import torch
from torch.nn import functional

from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.region_decoders import Bank, RegionDecoder, load_region_decoder

MADE = {"resolutions": 2, "dim": 3, "prototypes": 4, "temperature": 0.1}


def classifier():
    torch.manual_seed(0)
    return Classifier(Backbone("resnet18"), ["normal", "tumour"], tile_px=64, mpp=1.0)


def decoder(**changes):
    frozen = classifier()
    torch.manual_seed(1)
    return RegionDecoder(frozen, (8, 8, 8, 8, 8), **(MADE | changes)).eval()


def tiles(count=2, side=64):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def prototypes(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, 2, 3, generator=generator)


def test_a_bank_holds_unit_centroids_of_what_is_known():
    bank, given = Bank(4, 2, 3), prototypes(3)
    known = torch.tensor([[True, True], [True, False], [True, False]])
    bank.fill(given, known, seed=0)
    assert bank.known.sum(dim=0).tolist() == [3, 1]
    unit = functional.normalize(given, dim=-1)
    assert torch.allclose(bank.prototypes[0, 1], unit[0, 1])
    assert sorted(bank.prototypes[:3, 0].flatten(1).tolist()) == [
        pytest.approx(row) for row in sorted(unit[:, 0].flatten(1).tolist())
    ]
    assert bank.prototypes[1:, 1].abs().sum() == 0


def test_more_prototypes_than_the_bank_has_places_become_their_centroids():
    generator = torch.Generator().manual_seed(0)
    corners = prototypes(4)
    given = corners.repeat_interleave(10, dim=0)
    given = given + 0.001 * torch.randn(given.shape, generator=generator)
    bank = Bank(4, 2, 3)
    bank.fill(given, torch.ones(40, 2, dtype=torch.bool), seed=0)
    for side in range(2):
        apart = torch.cdist(
            functional.normalize(corners[:, side], dim=-1).flatten(1),
            bank.prototypes[:, side].flatten(1),
        )
        assert apart.amin(dim=0).max() < 0.01 and apart.amin(dim=1).max() < 0.01


def test_without_prototypes_the_map_is_one_half_everywhere():
    model = decoder()
    features, projected = model.look(tiles())
    assert [each.shape[1] for each in projected] == [3, 3]
    assert [each.shape[-1] for each in projected] == [4, 2]
    half = torch.full((2, 4, 4), 0.5)
    assert torch.equal(model(tiles()), model.decode(tiles(), features, half))


def test_the_bank_decides_where_it_looks(monkeypatch):
    model = decoder()
    monkeypatch.setattr(model, "decode", lambda tiles, features, foreground: foreground)
    assert (model(tiles()) == 0.5).all()
    model.learnt["bank"].fill(prototypes(4), torch.ones(4, 2, dtype=torch.bool), seed=0)
    assert model(tiles()).shape == (2, 4, 4)
    assert model(tiles()).std() > 0.01


def test_the_map_multiplies_the_deepest_features():
    model = decoder()
    features, _ = model.look(tiles())
    half = torch.full((2, 4, 4), 0.25)
    half[:, :, :2] = 0.75
    weighed = features[-1] * torch.tensor([0.75, 0.25])
    expected = model.learnt["head"](model.learnt["blocks"]([tiles(), *features[:-1], weighed]))
    assert torch.allclose(model.decode(tiles(), features, half), expected)


def test_saved_and_loaded_gives_the_same_probability(tmp_path):
    model = decoder()
    model.learnt["bank"].fill(prototypes(3), torch.ones(3, 2, dtype=torch.bool), seed=0)
    model.save(tmp_path, {"method": "rpnet"}, trained_on="abc")
    loaded = load_region_decoder(tmp_path, classifier(), trained_on="abc")
    assert torch.equal(loaded.probability(tiles()), model.probability(tiles()))
    with pytest.raises(ValueError, match="trained on another classifier"):
        load_region_decoder(tmp_path, classifier(), trained_on="def")


def test_more_resolutions_than_there_are_takes_all():
    frozen = Classifier(Backbone("squeezenet1_1"), ["a", "b"], tile_px=64, mpp=1.0)
    model = RegionDecoder(frozen, **(MADE | {"resolutions": 5})).eval()
    assert model(tiles(1, 100)).shape == (1, 2, 100, 100)


def test_what_is_compared_learns_too_and_the_classifier_does_not():
    model = decoder()
    model.train()
    features, projected = model.look(tiles())
    sources = torch.ones(2, 2, 4, dtype=torch.bool)
    seen = model.compare(projected, prototypes(4), sources)
    model.decode(tiles(), features, seen).square().sum().backward()
    assert all(p.grad is not None for p in model.learnt.parameters())
    assert all(p.grad is None for p in model.classifier.parameters())
