"""The plain cam of a classifier in training: the class that is shown, and its scale."""

import numpy as np
import pytest
import torch

from tests.lib.striped import SIDE, Store, classifier
from workflow.lib.evidence.cams import normalise, upsample
from workflow.lib.evidence.plain_cams import plain_evidence

HOW = {"scale": "minmax", "batch": 3, "device": torch.device("cpu")}


@pytest.fixture
def model():
    return classifier().eval()


def shown(model, count=5, **about):
    blocks = list(plain_evidence(model, Store(1, 5, 0).batch, count, **HOW | about))
    assert [(rows.start, rows.stop) for rows, _ in blocks] == [(0, 3), (3, 5)][: -(-count // 3)]
    return np.concatenate([maps for _, maps in blocks])


def cams(model):
    tiles = torch.from_numpy(Store(1, 5, 0).tiles).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        return model.cam(tiles)


def test_the_true_class_is_shown_on_the_scale_of_the_slide(model):
    for index, label in enumerate(model.classes):
        own = cams(model)[:, index]
        expected = upsample(normalise(own, float(own.min()), float(own.max())), SIDE)
        found = shown(model, label=label, negative=None)
        assert np.allclose(found, expected, atol=1e-5) and found.shape == (5, SIDE, SIDE)


def test_softmax_compares_the_classes(model):
    expected = upsample(torch.softmax(cams(model), 1)[:, 1], SIDE)
    found = shown(model, label="striped", negative="plain", scale="softmax")
    assert np.allclose(found, expected, atol=1e-5)


def test_a_negative_slide_shows_the_finding_with_the_most_evidence(model):
    as_finding = shown(model, label="striped", negative="plain")
    assert np.array_equal(shown(model, label="plain", negative="plain"), as_finding)


def test_a_slide_without_a_readable_tile_shows_nothing(model):
    found = plain_evidence(model, None, 0, label="plain", negative=None, **HOW)
    assert list(found) == []
