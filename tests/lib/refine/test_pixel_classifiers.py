"""Pixels told apart linearly: seeds by hand, the fit against scikit-learn, and what it finds."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from workflow.lib.networks.backbones import Backbone
from workflow.lib.networks.classifiers import Classifier
from workflow.lib.refine.pixel_classifiers import (
    PixelClassifier,
    draw_seeds,
    fit_linear,
    load_pixel_classifier,
)

CUTS = {"foreground": 0.6, "background": 0.2}


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return Classifier(Backbone("resnet18"), ["normal", "tumour"], tile_px=64, mpp=1.0).eval()


def seeded(maps, negative, count):
    generator = torch.Generator().manual_seed(0)
    found = draw_seeds(torch.tensor(maps), torch.tensor(negative), count, generator, **CUTS)
    return sorted(map(tuple, found.tolist()))


def test_seeds_are_where_evidence_is_sure():
    maps = [[[0.6, 0.59], [0.2, 0.19]], [[0.9, 0.9], [0.9, 0.9]]]
    assert seeded(maps, [False, False], 9) == [
        *((0, 0, 0, 1), (0, 1, 1, 0)),
        *((1, y, x, 1) for y in (0, 1) for x in (0, 1)),
    ]
    assert [seed[3] for seed in seeded(maps, [False, True], 9) if seed[0] == 1] == [0, 0, 0, 0]
    assert len(seeded(maps, [True, True], 3)) == 6


def test_a_tile_gives_each_of_its_marked_locations_alike():
    generator, seen = torch.Generator().manual_seed(0), np.zeros(4)
    maps = torch.tensor([[[0.9, 0.1], [0.4, 0.8]]])
    for _ in range(300):
        (_, y, x, _), *others = draw_seeds(maps, torch.tensor([False]), 1, generator, **CUTS)
        assert not others
        seen[2 * y + x] += 1
    assert seen[2] == 0 and (np.abs(seen[[0, 1, 3]] - 100) < 35).all()


def test_the_fit_is_scikit_learns_on_standardised_features(classifier):
    model = PixelClassifier(classifier, 8)
    rng, count = np.random.default_rng(0), model.learnt.in_channels
    features = rng.normal(3, 2, (300, count)).astype(np.float32)
    sides = (features[:, 0] + rng.normal(0, 1, 300) > 4).astype(int)
    fit_linear(model, features.copy(), sides, penalty=50.0)
    scaler = StandardScaler().fit(features)
    reference = LogisticRegression(C=1 / 50, class_weight="balanced", max_iter=1000)
    reference.fit(scaler.transform(features), sides)
    with torch.no_grad():
        found = model.learnt(torch.from_numpy(features)[:, :, None, None])[:, 0, 0, 0].numpy()
    expected = reference.decision_function(scaler.transform(features))
    assert found == pytest.approx(expected, abs=0.01)
    assert ((found > 0) == sides).mean() > 0.8


def test_features_are_all_maps_at_one_stride(classifier):
    tiles = torch.rand(2, 3, 64, 64)
    levels = classifier.pyramid(tiles)
    found = PixelClassifier(classifier, 16).describe(tiles)
    assert found.shape == (2, sum(classifier.backbone.channels), 4, 4)
    own = next(k for k, level in enumerate(levels) if level.shape[-1] == 4)
    start = sum(classifier.backbone.channels[:own])
    assert torch.equal(found[:, start : start + levels[own].shape[1]], levels[own])


def test_a_probability_for_every_pixel(classifier):
    probability = PixelClassifier(classifier, 8).probability(torch.rand(2, 3, 64, 64))
    assert probability.shape == (2, 64, 64) and 0 <= probability.min() <= probability.max() <= 1


def test_what_was_saved_is_read_again_on_its_classifier_alone(classifier, tmp_path):
    torch.manual_seed(1)
    model, tiles = PixelClassifier(classifier, 8), torch.rand(1, 3, 64, 64)
    model.save(tmp_path, {}, trained_on="a" * 64)
    again = load_pixel_classifier(tmp_path, classifier, trained_on="a" * 64)
    assert torch.equal(again.probability(tiles), model.probability(tiles))
    with pytest.raises(ValueError, match="another classifier"):
        load_pixel_classifier(tmp_path, classifier, trained_on="b" * 64)
