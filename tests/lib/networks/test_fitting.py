"""The training loop on the smallest lesson there is: a line through points."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from workflow.lib.networks import resuming
from workflow.lib.networks.fitting import (
    STALE,
    _pace,
    derive_seed,
    fit,
    full_batches,
    parameter_groups,
    set_momentum,
)


class Line:
    """Fit y = 3x - 1; remembers how often it was asked, and fails on request."""

    def __init__(self, validates=True, val_losses=None, stop_at=None, broken=None, steep=None):
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(1, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
        self.x = torch.linspace(-1, 1, 16)[:, None]
        self.validates, self.val_losses = validates, val_losses
        self.stop_at, self.broken, self.steep = stop_at, broken, steep
        self.seen, self.validated = [], 0

    def groups(self):
        return [{"params": list(self.model.parameters()), "peak": 0.05, "weight_decay": 0.0}]

    def batches(self, seed):
        generator = torch.Generator().manual_seed(seed)
        return list(torch.randperm(16, generator=generator).split(4))

    def read(self, indices):
        return self.x[indices].numpy()

    def names(self, indices):
        return [f"slide-{int(indices[0])}"]

    def validation_names(self):
        return ["v0"]

    def loss(self, indices, pixels, generator):
        if self.stop_at == self.validated:
            raise KeyboardInterrupt
        noisy = torch.from_numpy(pixels) + 0.01 * torch.randn(len(pixels), 1, generator=generator)
        loss = ((self.model(noisy) - (3 * self.x[indices] - 1)) ** 2).mean()
        self.seen.append(loss.item())
        if self.steep == self.validated:
            loss = loss + (loss - loss.detach()).sqrt()  # of which the slope at 0 is infinite
        return loss * float("nan") if self.broken == self.validated else loss

    def recall(self):
        mean, self.seen = float(np.mean(self.seen)), []
        return {"loss": mean}

    def validate(self):
        self.validated += 1
        if not self.validates:
            return None
        if self.val_losses:
            return {"loss": self.val_losses[self.validated - 1]}
        with torch.no_grad():
            return {"loss": ((self.model(self.x) - (3 * self.x - 1)) ** 2).mean().item()}


def run(lesson, work, *, epochs=6, patience=6, seed=0, **how):
    how = {"key": "k"} | how
    return fit(
        lesson, lesson.groups(), epochs=epochs, patience=patience, seed=seed, work=work, **how
    )


def weights(lesson):
    return torch.cat([tensor.flatten().float() for tensor in lesson.model.state_dict().values()])


def test_it_learns_and_tells(tmp_path, caplog):
    caplog.set_level("INFO")
    outcome = run(Line(), tmp_path, epochs=20, patience=20)
    rows, order = outcome["curves"], [(1, "train"), (1, "val"), (2, "train")]
    assert [(row["epoch"], row["split"]) for row in rows[:3]] == order and len(rows) == 40
    assert run(Line(), tmp_path, epochs=20, patience=20) == outcome  # nothing is left to wait for
    assert caplog.text.count("Waited for tiles ") == 1
    assert rows[-1]["loss"] < 0.1 * rows[1]["loss"]
    assert 0 < rows[-1]["lr"] < rows[10]["lr"] <= 0.05
    assert outcome["validated"]


def test_interrupted_and_resumed_is_bitwise_as_if_never_interrupted(tmp_path):
    whole, first, second = Line(), Line(stop_at=3), Line()
    told = run(whole, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(first, tmp_path / "parts")
    assert run(second, tmp_path / "parts") == told
    assert second.validated == 3  # only what was missing
    assert torch.equal(weights(second), weights(whole))


def test_another_key_starts_anew(tmp_path):
    run(Line(), tmp_path, epochs=2)
    again = Line()
    run(again, tmp_path, epochs=2, key="other")
    assert again.validated == 2


def test_a_torn_checkpoint_starts_anew(tmp_path):
    told = run(Line(), tmp_path, epochs=2)
    (tmp_path / "checkpoint.pt").write_bytes((tmp_path / "checkpoint.pt").read_bytes()[:500])
    assert run(Line(), tmp_path, epochs=2) == told


def test_the_epoch_with_the_lowest_validation_loss_is_kept(tmp_path):
    lesson = Line(val_losses=[3.0, 1.0, 2.0, 2.0, 0.5, 4.0])
    outcome = run(lesson, tmp_path, patience=2)
    assert outcome["best_epoch"] == 2
    assert lesson.validated == 4


def test_without_validation_tiles_all_epochs_run_and_the_last_is_kept(tmp_path):
    outcome = run(Line(validates=False), tmp_path, patience=1)
    assert outcome["best_epoch"] == 6
    assert not outcome["validated"]
    assert {row["split"] for row in outcome["curves"]} == {"train"}


def test_without_patience_validation_is_told_but_the_last_epoch_is_kept(tmp_path):
    lesson = Line(val_losses=[3.0, 1.0, 2.0, 2.0, 0.5, 4.0])
    outcome = run(lesson, tmp_path, patience=None)
    assert outcome["best_epoch"] == lesson.validated == 6
    assert not outcome["validated"]
    told = [row["loss"] for row in outcome["curves"] if row["split"] == "val"]
    assert told == lesson.val_losses


def test_a_judge_keeps_the_epoch_with_its_highest_word_and_changes_nothing_else(tmp_path):
    """The first of two that are as good; the loss is lowest in the fifth epoch."""
    losses, words = [3.0, 1.0, 2.0, 2.0, 0.5, 4.0], [10.0, 30.0, 80.0, 80.0, 60.0, 5.0]
    plain = run(Line(val_losses=losses), tmp_path / "plain")
    lesson, said = Line(val_losses=losses), iter(words)

    def judge():
        assert not lesson.model.training
        return next(said)

    outcome = run(lesson, tmp_path / "judged", judge=judge)
    assert (plain["best_epoch"], outcome["best_epoch"]) == (5, 3) and outcome["validated"]
    told = [row.pop("pxap") for row in outcome["curves"]]
    assert told == [each for word in words for each in (None, word)]
    assert outcome["curves"] == plain["curves"]


def test_a_judge_goes_on_where_it_was(tmp_path):
    words = [10.0, 80.0, 30.0, 60.0, 5.0, 70.0]
    whole, first, second = Line(), Line(stop_at=3), Line()
    told = run(whole, tmp_path / "whole", judge=iter(words).__next__)
    said = iter(words).__next__
    with pytest.raises(KeyboardInterrupt):
        run(first, tmp_path / "parts", judge=said)
    assert run(second, tmp_path / "parts", judge=said) == told and told["best_epoch"] == 2
    assert torch.equal(weights(second), weights(whole)) and second.epoch == 5


def test_a_judge_chooses_where_no_loss_can_be_told(tmp_path):
    words = [80.0, 10.0]
    outcome = run(Line(validates=False), tmp_path, epochs=2, judge=iter(words).__next__)
    assert outcome["best_epoch"] == 1 and outcome["validated"]
    assert [(r["loss"], r["pxap"]) for r in outcome["curves"][1::2]] == [(None, w) for w in words]


def test_a_loss_that_is_not_finite_stops_with_its_slides_and_keeps_the_last_good_epoch(tmp_path):
    with pytest.raises(ValueError, match=r"training loss is nan in epoch 3, on tiles of slide-\d+"):
        run(Line(broken=2), tmp_path)
    state = resuming.resume(tmp_path, "k")
    assert state["epoch"] == 2
    assert all(torch.isfinite(tensor).all() for tensor in state["model"].values())


def test_a_gradient_that_is_not_finite_stops_before_a_weight_is_touched(tmp_path):
    """The last epoch of a lesson that is not validated: nobody would look at its weights again."""
    lesson = Line(validates=False, steep=1)
    with pytest.raises(
        ValueError, match=r"training gradient is (nan|inf) in epoch 2, on tiles of slide-\d+; look"
    ):
        run(lesson, tmp_path, epochs=2)
    assert torch.isfinite(weights(lesson)).all()
    assert resuming.resume(tmp_path, "k")["epoch"] == 1


def test_the_seed_decides_and_nothing_else_does(tmp_path):
    told = run(Line(), tmp_path / "a")
    torch.manual_seed(99)
    again = Line()
    torch.rand(7)
    assert run(again, tmp_path / "b") == told
    assert run(Line(), tmp_path / "c", seed=1) != told


def test_batch_norms_follow_within_an_epoch_of_few_steps():
    """With torch's own momentum, three quarters of the start would be left after three steps."""
    norm, frozen = nn.BatchNorm2d(4), nn.BatchNorm2d(4).eval()
    model = nn.Sequential(norm, frozen)
    set_momentum(model, 3)
    assert (1 - norm.momentum) ** 3 == pytest.approx(STALE)
    assert frozen.momentum == 0.1
    set_momentum(model, 500)
    assert norm.momentum == 0.1


def test_the_pace_by_hand():
    """Two steps an epoch, two epochs: half way up, at the top times the cosine, down."""
    paces = [_pace(step, 2, 2) for step in range(4)]
    cosine = [(1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)]
    assert paces == pytest.approx([cosine[0] / 2, cosine[1], cosine[2], cosine[3]])


def test_seeds_of_epochs_and_batches_all_differ():
    seeds = {
        derive_seed(seed, epoch, step)
        for seed in range(3)
        for epoch in range(5)
        for step in range(5)
    }
    assert len(seeds) == 75


def test_groups_hold_what_may_learn_and_spare_biases_and_norms_the_decay():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2, bias=False))
    model[0].weight.requires_grad_(False)
    kernels, others = parameter_groups(model.parameters(), peak=0.1, weight_decay=0.01)
    assert [p.shape for p in kernels["params"]] == [(2, 4)]
    assert [p.shape for p in others["params"]] == [(4,), (4,), (4,)]
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    assert kernels["peak"] == others["peak"] == 0.1
    assert parameter_groups([], peak=0.1, weight_decay=0.0) == []


@pytest.mark.parametrize(("count", "sizes"), [(7, [3, 3]), (6, [3, 3]), (2, [2]), (3, [3])])
def test_a_batch_that_is_not_full_is_left_out_unless_it_is_all(count, sizes):
    batches = full_batches(torch.arange(count), 3)
    assert [len(batch) for batch in batches] == sizes
    assert torch.cat(batches).tolist() == list(range(sum(sizes)))
