"""Training: it learns, stops, resumes bitwise, and refuses what is not a number."""

import numpy as np
import pytest
import torch

from tests.lib.striped import SETTINGS, bags, classifier
from workflow.lib.networks import resuming, training
from workflow.lib.networks.training import train
from workflow.lib.tiles.bags import TileBag

pytestmark = pytest.mark.usefixtures("one_thread")


def same(one, other):
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns_and_tells_how(tmp_path, precision):
    model = classifier()
    settings = SETTINGS | {"precision": precision}
    found = train(model, *bags((20, 20)), work=tmp_path, **settings)
    val = [row for row in found["curves"] if row["split"] == "val"]
    assert [row["epoch"] for row in val] == [1, 2, 3, 4]
    assert set(val[0]) == {"epoch", "split", "loss", "accuracy", "auroc", "lr"}
    best = val[found["best_epoch"] - 1]
    assert best["loss"] == min(row["loss"] for row in val) < val[0]["loss"]
    assert best["accuracy"] > 0.9 and best["auroc"] > 0.9
    assert "validation loss" in found["chosen_by"] and not model.training


@pytest.mark.parametrize("pooling", ["max", "lse", "wildcat", "attention"])
def test_every_pooling_learns(tmp_path, pooling):
    model = classifier(pooling=pooling)
    model.backbone.dilate(8)  # 3 x 3 locations, of which there is something to pool
    found = train(model, *bags((20, 20)), work=tmp_path, **SETTINGS | {"epochs": 6})
    best = [row for row in found["curves"] if row["split"] == "val"][found["best_epoch"] - 1]
    assert best["accuracy"] > 0.8 and best["auroc"] > 0.9


def test_the_model_is_left_as_it_was_in_its_best_epoch(tmp_path):
    """A learning rate that ruins it: validation at the end gives the best row, not the last."""
    model, (learn, val) = classifier(), bags()
    settings = SETTINGS | {"learning_rate": 0.25}
    found = train(model, learn, val, work=tmp_path, **settings)
    rows = [row for row in found["curves"] if row["split"] == "val"]
    again = training._validate(model, val, 8, settings["device"])
    assert again["loss"] == pytest.approx(rows[found["best_epoch"] - 1]["loss"], rel=1e-5)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tmp_path):
    models = []
    for index, seed in enumerate((0, 0, 1)):
        models.append(classifier())
        settings = SETTINGS | {"epochs": 1, "seed": seed}
        train(models[-1], *bags(), work=tmp_path / str(index), **settings)
    assert same(models[0], models[1]) and not same(models[0], models[2])


@pytest.mark.parametrize(
    ("name", "precision"),
    [("shufflenet_v2_x0_5", "fp32"), ("efficientnet_b0", "fp32"), ("efficientnet_b0", "bf16")],
)
def test_a_killed_training_goes_on_as_if_it_had_not_stopped(tmp_path, name, precision):
    """Killed in the third of four epochs; efficientnet drops paths at random inside."""
    settings = SETTINGS | {"batch_size": 4, "precision": precision}  # three batches an epoch
    whole, torn, resumed = (classifier(name) for _ in range(3))
    expected = train(whole, *bags((6, 6)), work=tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        train(torn, *bags((6, 6), reads=2 * 3 + 1), work=tmp_path / "torn", **settings)
    checkpoint = resuming.resume(tmp_path / "torn", settings["key"])
    assert checkpoint["epoch"] == 2
    torch.rand(5)  # whatever another process has drawn meanwhile
    found = train(resumed, *bags((6, 6)), work=tmp_path / "torn", **settings)
    assert found == expected and same(resumed, whole)


def test_a_finished_training_is_not_repeated(tmp_path):
    first, second = classifier(), classifier()
    expected = train(first, *bags(), work=tmp_path, **SETTINGS)
    assert train(second, *bags(reads=0), work=tmp_path, **SETTINGS) == expected
    assert same(first, second)


def test_it_stops_when_validation_no_longer_improves(tmp_path, monkeypatch):
    losses = iter([0.9, 0.5, 0.6, 0.5, 0.4])
    monkeypatch.setattr(
        training, "_validate", lambda *_: {"loss": next(losses), "accuracy": 0.5, "auroc": None}
    )
    found = train(classifier(), *bags(), work=tmp_path, **SETTINGS | {"epochs": 9, "patience": 2})
    assert found["best_epoch"] == 2 and found["curves"][-1]["epoch"] == 4


def test_validation_tiles_of_one_class_do_not_choose_the_epoch(tmp_path):
    learn, val = bags()
    one = TileBag(val.slides[:1], val.stores[:1], [0])
    found = train(classifier(), learn, one, work=tmp_path, **SETTINGS | {"patience": 1})
    assert found["best_epoch"] == 4 and "not every class" in found["chosen_by"]
    assert {row["split"] for row in found["curves"]} == {"train", "val"}


def test_without_validation_tiles_the_last_epoch_is_kept(tmp_path):
    learn, _ = bags()
    settings = SETTINGS | {"patience": 1, "epochs": 3}
    found = train(classifier(), learn, TileBag([], [], []), work=tmp_path, **settings)
    assert found["best_epoch"] == 3 and "last epoch" in found["chosen_by"]
    assert {row["split"] for row in found["curves"]} == {"train"}


@pytest.mark.parametrize("which", ["training", "validation"])
def test_a_loss_that_is_not_a_number_names_the_slides_and_writes_nothing(
    tmp_path, monkeypatch, which
):
    model, (learn, val) = classifier(), bags()
    broken = learn if which == "training" else val
    sick = broken.slides[1]

    def poison(pixels, device):
        return original(pixels, device) / (torch.tensor(pixels[:, :1, :1, :1]).permute(0, 3, 1, 2))

    original = training.to_input
    if which == "training":
        learn.stores[1].tiles[:] = 0  # 0 / 0 below
        monkeypatch.setattr(training, "to_input", poison)
    else:
        monkeypatch.setattr(
            training, "infer", lambda *_a, **_k: [(slice(0, 10), np.full((10, 2), np.nan))]
        )
    with pytest.raises(ValueError, match=f"{which} loss is nan in epoch 1.*{sick}.*learning_rate"):
        train(model, learn, val, work=tmp_path, **SETTINGS)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_unbalanced_training_sees_every_tile_once():
    learn, _ = bags((5, 12))
    batches = training._batches(learn, 4, "none", seed=0)
    assert sorted(torch.cat(batches).tolist()) == sorted(set(torch.cat(batches).tolist()))
    assert [len(batch) for batch in batches] == [4, 4, 4, 4]


def test_a_single_short_batch_is_kept():
    assert [len(batch) for batch in training._batches(bags((1, 2))[0], 8, "none", seed=0)] == [3]


def test_a_classifier_is_weak_by_its_best_epoch():
    curves = [
        {"epoch": epoch, "split": split, "auroc": auroc}
        for epoch, split, auroc in [
            (1, "train", 0.1),
            (1, "val", 0.64),
            (2, "train", 0.1),
            (2, "val", 0.65),
            (3, "val", None),
        ]
    ]
    assert "fold 5 reaches an AUROC of only 0.64" in training.weakness(curves, 1, 5)
    assert training.weakness(curves, 2, 5) is None
    assert training.weakness(curves, 3, 5) is None  # validation tiles of one class say nothing
    assert training.weakness(curves[:1], 1, 5) is None  # nor do none


def test_the_head_moves_faster_and_only_matrices_decay():
    model = classifier()
    groups = training._parameter_groups(model, 0.5, 0.2, 0.01)
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    assert [(g["peak"], g["weight_decay"]) for g in groups] == [
        (0.5, 0.01),
        (0.5, 0.0),
        (0.1, 0.01),
        (0.1, 0.0),
    ]
    assert all((p.ndim > 1) == (g["weight_decay"] > 0) for g in groups for p in g["params"])


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_a_frozen_backbone_keeps_its_weights_and_statistics_and_the_head_learns(tmp_path, name):
    model, before = classifier(name), classifier(name)
    settings = SETTINGS | {"backbone_learning_rate_factor": 0.0, "epochs": 1}
    train(model, *bags(), work=tmp_path, **settings)
    assert same(model.backbone, before.backbone) and not same(model.head, before.head)
    groups = training._parameter_groups(model, 0.1, 0.0, 0.01)
    assert sum(len(group["params"]) for group in groups) == 2
    assert model.train().training and not model.backbone.training
