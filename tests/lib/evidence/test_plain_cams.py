"""The plain cam of a classifier in training: the class that is shown, and its scale."""

import numpy as np
import pytest
import torch

from tests.lib.striped import SIDE, Store, classifier
from workflow.lib.evidence.cams import normalise, scale_cams, upsample
from workflow.lib.evidence.plain_cams import plain_evidence

HOW = {"scale": "minmax", "batch": 3, "device": torch.device("cpu"), "folder": None}


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


@pytest.mark.parametrize("scale", ["minmax", "minmax_tile", "softmax"])
@pytest.mark.parametrize("negative", [None, "plain"])
def test_blocks_give_what_the_whole_slide_gives_and_leave_no_file(model, scale, negative, tmp_path):
    about = {"label": "plain", "negative": negative, "scale": scale, "folder": tmp_path}
    model.classes = ["plain", "striped", "dotted"]  # two findings, of which the first has more
    model.cam = lambda tiles: torch.stack([tiles[:, k, ::8, ::8] - k for k in range(3)], 1)
    read = Store(1, 5, 0).batch
    blocks = list(plain_evidence(model, read, 5, **HOW | about | {"batch": 2}))
    ((_, whole),) = plain_evidence(model, read, 5, **HOW | about | {"batch": 5})
    tiles = torch.from_numpy(read([0, 1, 2, 3, 4])).permute(0, 3, 1, 2) / 255
    raw = model.cam(tiles)
    of = 1 if negative else 0
    bounds = {"low": float(raw[:, of].min()), "high": float(raw[:, of].max())}
    expected = upsample(scale_cams(raw, of, scale=scale, **bounds), SIDE)
    assert [len(maps) for _, maps in blocks] == [2, 2, 1]
    assert np.array_equal(np.concatenate([maps for _, maps in blocks]), whole)
    assert np.allclose(whole, expected, atol=1e-5) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("scale", ["minmax_tile", "softmax"])
def test_a_scale_that_needs_no_bounds_shows_tiles_as_they_come(model, scale):
    asked = []

    def read(rows):
        asked.append(len(rows))
        return Store(1, 90, 0).batch(rows)

    shown = plain_evidence(
        model, read, 90, label="striped", negative="plain", **HOW | {"scale": scale}
    )
    next(shown)
    assert len(asked) <= 3  # one computed, the next ones read ahead


def test_a_slide_without_a_readable_tile_shows_nothing(model):
    found = plain_evidence(model, None, 0, label="plain", negative=None, **HOW)
    assert list(found) == []
