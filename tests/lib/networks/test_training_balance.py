"""What training draws equally often, and that validation measures the same whatever it draws."""

import numpy as np
import pytest
import torch

from tests.lib.striped import SETTINGS, Store, bags, classifier
from workflow.lib.networks import training
from workflow.lib.networks.training import train
from workflow.lib.tiles.bags import TileBag

pytestmark = pytest.mark.usefixtures("one_thread")


def test_what_is_drawn_is_what_balance_says():
    """30 tiles: 10 and 6 of class 0, 14 of class 1; one tile of each class is in cluster 1."""
    rare = [np.arange(count) == 0 for count in (10, 14, 0)]
    clusters = [found.astype(np.int32) for found in (*rare[:2], np.zeros(6, bool))]
    learn, _ = bags(clusters=clusters)
    drawn = {}
    for balance in ("none", "classes", "clusters"):
        order = torch.cat(training._batches(learn, 30, balance, seed=0))
        per_class = torch.bincount(learn.label[order]).tolist()
        drawn[balance] = (per_class, int(learn.cluster[order].sum()))
    assert drawn["none"] == ([16, 14], 2)
    assert drawn["classes"][0] == drawn["clusters"][0] == [15, 15]
    assert drawn["classes"][1] <= 4 and drawn["clusters"][1] in (14, 15, 16)


def test_validation_is_the_same_measure_however_training_draws(tmp_path):
    """At a learning rate of nearly nothing all three end where they began."""
    seen = {}
    for balance in ("classes", "clusters", "none"):
        learn, _ = bags((6, 10), clusters=[np.arange(count) % 3 for count in (6, 10)])
        stores = [Store(0, 2, 90), Store(0, 9, 92), Store(1, 6, 91)]
        val = TileBag(["v0", "v1", "v2"], stores, [0, 0, 1])
        settings = SETTINGS | {"balance": balance, "learning_rate": 1e-12, "epochs": 1}
        found = train(classifier(), learn, val, work=tmp_path / balance, **settings)
        seen[balance] = found["curves"][-1]
    assert seen["classes"]["split"] == "val"
    for measure in ("loss", "accuracy", "auroc"):
        values = [seen[balance][measure] for balance in seen]
        assert values == pytest.approx([values[0]] * 3, abs=1e-6)
    logits = classifier().eval()(training.to_input(val.read(range(17)), SETTINGS["device"]))
    each = torch.nn.functional.cross_entropy(logits, val.label, reduction="none").detach()
    by_hand = (each[:2].mean() + each[2:11].mean()) / 4 + each[11:].mean() / 2
    assert seen["none"]["loss"] == pytest.approx(float(by_hand), rel=1e-4)


def test_it_learns_from_draws_that_are_balanced_by_cluster(tmp_path):
    clusters = [np.arange(count) % 4 for count in (20, 20)]
    settings = SETTINGS | {"balance": "clusters"}
    found = train(classifier(), *bags((20, 20), clusters=clusters), work=tmp_path, **settings)
    val = [row for row in found["curves"] if row["split"] == "val"]
    assert val[-1]["loss"] < val[0]["loss"] and val[-1]["auroc"] > 0.9
