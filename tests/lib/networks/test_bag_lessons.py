"""Learning from bags: planted tiles are found, and nothing about training is left to luck."""

import numpy as np
import pytest
import torch

from tests.lib.planted import DIM, bags
from workflow.lib.measures.label_metrics import ranking
from workflow.lib.networks import resuming
from workflow.lib.networks.aggregators import Aggregator, read_slide
from workflow.lib.networks.bag_lessons import CHOSEN_BY, LAST_EPOCH, BagLesson, train
from workflow.lib.networks.feature_bags import FeatureBags

CPU = torch.device("cpu")
SETTINGS = {"learning_rate": 2e-3, "weight_decay": 1e-3, "patience": 9, "max_tiles": 30}
NOTHING = FeatureBags([], [], [], [])


def learn(work, training, validation=NOTHING, *, seed=0, top_tiles=None, **changed):
    torch.manual_seed(0)
    known = {"hidden": 16, "dropout": 0.1, "top_tiles": top_tiles}
    model = Aggregator(DIM, ["normal", "tumour"], **known)
    settings = {"epochs": 6, "key": "k"} | SETTINGS | changed
    outcome = train(model, training, validation, seed=seed, device=CPU, work=work, **settings)
    return model, outcome


def tensors(model):
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


@pytest.mark.parametrize("top_tiles", [None, 4])
def test_planted_tiles_have_the_most_evidence_in_slides_never_seen(tmp_path, top_tiles):
    training, _ = bags([0, 1] * 6)
    validation, _ = bags([0, 1, 0, 1], seed=1)
    unseen, planted = bags([1] * 5 + [0] * 5, seed=2)
    given = {"epochs": 12, "learning_rate": 5e-3, "top_tiles": top_tiles}
    model, outcome = learn(tmp_path, training, validation, **given)
    found = [read_slide(model, unseen.rows(n), device=CPU) for n in range(len(unseen))]
    for reading, truth in zip(found[:5], planted[:5], strict=True):
        assert ranking(reading.evidence[:, 1], truth, np.ones((1, len(truth))))[0][0] > 0.9
    everywhere = np.concatenate([reading.evidence[:, 1] for reading in found])
    truth = np.concatenate(planted)
    assert ranking(everywhere, truth, np.ones((1, len(truth))))[0][0] > 0.9
    assert min(r.logits[1] for r in found[:5]) > max(r.logits[1] for r in found[5:])
    assert outcome["chosen_by"] == CHOSEN_BY
    best = [row for row in outcome["curves"] if row["epoch"] == outcome["best_epoch"]]
    assert [row["split"] for row in best] == ["train", "val"] and best[1]["auroc"] == 1
    losses = [row["loss"] for row in outcome["curves"] if row["split"] == "val"]
    assert min(losses) == best[1]["loss"]


def test_a_class_without_a_validation_slide_cannot_choose_the_epoch(tmp_path):
    validation, _ = bags([0, 0], seed=1)
    _, outcome = learn(tmp_path, bags([0, 1])[0], validation, epochs=3)
    assert (outcome["best_epoch"], outcome["chosen_by"]) == (3, LAST_EPOCH)
    assert [row["auroc"] for row in outcome["curves"] if row["split"] == "val"] == [None] * 3


def test_killed_training_goes_on_bitwise(tmp_path, monkeypatch):
    training, validation = bags([0, 1, 1])[0], bags([0, 1], seed=1)[0]
    expected, outcome = learn(tmp_path / "whole", training, validation)
    save, epochs = resuming.save, []

    def killed(work, state):
        save(work, state)
        epochs.append(state["epoch"])
        if epochs == [1, 2]:
            raise KeyboardInterrupt

    monkeypatch.setattr(resuming, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "killed", training, validation)
    model, again = learn(tmp_path / "killed", training, validation)
    assert epochs == [1, 2, 3, 4, 5, 6]
    assert torch.equal(tensors(model), tensors(expected)) and again == outcome
    other, _ = learn(tmp_path / "other", training, validation, seed=1)
    assert not torch.equal(tensors(other), tensors(expected))


def test_a_feature_that_is_no_number_stops_with_the_slide(tmp_path):
    arrays = [np.ones((3, DIM), np.float32) for _ in range(2)]
    arrays[1][2, 5] = np.nan
    broken = FeatureBags(["fine", "broken"], arrays, [np.ones(3, bool)] * 2, [0, 1])
    with pytest.raises(ValueError, match=r"broken: .*tile 2"):
        learn(tmp_path, broken)


def test_a_loss_that_is_no_number_stops_with_the_slide(tmp_path):
    """A rate so high that logits overflow."""
    with pytest.raises(ValueError, match=r"training loss is (nan|inf).*of s[01]; look"):
        learn(tmp_path, bags([0, 1])[0], learning_rate=1e20, epochs=3)
    assert not list(tmp_path.glob("model*"))


def lesson(training, max_tiles):
    model = Aggregator(DIM, ["normal", "tumour"], hidden=4, dropout=0)
    return BagLesson(model, training, NOTHING, max_tiles=max_tiles, device=CPU)


def test_a_step_is_one_slide_and_at_most_so_many_tiles():
    training, _ = bags([0, 1, 1], count=9)
    few = lesson(training, 4)
    batches = few.batches(seed=3)
    assert sorted(int(batch[0]) for batch in batches) == [0, 1, 2]
    drawn = [few.read(batch) for batch in batches]
    assert {part.shape for part in drawn} == {(4, DIM)}
    assert np.array_equal(drawn[0], few.read(batches[0]))  # the seed of the draw is in the batch
    others = {few.read(batch).tobytes() for seed in range(9) for batch in few.batches(seed)}
    assert len(others) > 9
    whole = lesson(training, 9)
    for batch in whole.batches(seed=3):
        assert np.array_equal(whole.read(batch), training.sample(int(batch[0]), 99, seed=0))
        assert whole.names(batch) == [f"s{int(batch[0])}"]


def test_every_class_counts_alike():
    """One normal slide against three: it weighs as much as all of them."""
    training, _ = bags([0, 1, 1, 1])
    assert lesson(training, 9).weights == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])
