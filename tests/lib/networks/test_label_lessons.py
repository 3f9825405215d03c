"""What networks that learn labels share, by hand."""

import math

import pytest
import torch

from workflow.lib.networks.label_lessons import check_classes, measure


def test_a_class_without_a_training_tile_is_named():
    labels = torch.tensor([0, 0, 1])
    check_classes(labels, ["plain", "striped"], 4)
    with pytest.raises(ValueError, match="Fold 4 has no training tile of class spotted, dotted:"):
        check_classes(labels, ["plain", "striped", "spotted", "dotted"], 4)


def test_measures_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [math.log(3), 0.0], [0.0, 0.0]])
    labels, weights = torch.tensor([1, 1, 0]), torch.tensor([0.25, 0.25, 0.5])
    found = measure(logits, labels, weights)
    expected = 0.25 * math.log(4 / 3) + 0.25 * math.log(4) + 0.5 * math.log(2)
    assert found["loss"] == pytest.approx(expected)
    assert found["accuracy"] == pytest.approx(0.75)
    assert found["auroc"] == pytest.approx(0.5)


def test_auroc_of_one_class_is_undefined_and_not_a_number():
    found = measure(torch.zeros(2, 2), torch.tensor([1, 1]), torch.ones(2))
    assert found["auroc"] is None
