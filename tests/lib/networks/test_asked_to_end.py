"""A training that is asked to end (SIGTERM) saves its step, says so, and goes on from there."""

import os
import signal
import sys

import pytest
import torch
from torch import nn

from tests.lib.networks.test_fitting import Line, run, weights
from tests.lib.networks.test_training import same
from tests.lib.striped import SETTINGS, bags, classifier
from workflow.lib.jobs import job
from workflow.lib.networks import resuming, training

pytestmark = pytest.mark.usefixtures("one_thread")


class Dropping(Line):
    """Draws what it drops from torch's own generator; asks its process to end at some steps."""

    def __init__(self, *end_at):
        super().__init__()
        self.model.insert(1, nn.Dropout(0.3))
        self.end_at, self.steps = end_at, 0

    def loss(self, indices, pixels, generator):
        self.steps += 1
        if self.steps in self.end_at:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().loss(indices, pixels, generator)


@pytest.mark.parametrize("step", [1, 6, 8], ids=["first", "within an epoch", "last of an epoch"])
def test_asked_to_end_it_saves_the_step_and_goes_on_bitwise_from_there(tmp_path, step):
    before = signal.getsignal(signal.SIGTERM)
    whole, first, second = Dropping(), Dropping(step), Dropping()
    told = run(whole, tmp_path / "whole")
    where = f"saved up to step {(step - 1) % 4 + 1} of 4 in epoch {(step + 3) // 4}"
    with pytest.raises(resuming.Stopped, match=where):
        run(first, tmp_path / "parts")
    assert first.steps == step and signal.getsignal(signal.SIGTERM) == before
    assert run(second, tmp_path / "parts") == told
    assert first.steps + second.steps == whole.steps == 24  # none is made twice
    assert torch.equal(weights(second), weights(whole))


def test_a_job_that_is_asked_to_end_says_so_and_is_not_taken_for_killed(
    tmp_path, monkeypatch, capsys
):
    def train_line():
        run(Dropping(6), tmp_path)

    monkeypatch.setattr(sys, "argv", ["train_line"])
    with pytest.raises(SystemExit) as stop:
        job.run(train_line)
    said = "train_line: Stopped: E_STOPPED: The training was asked to end and is saved up to step 2"
    assert stop.value.code == 1 and said in capsys.readouterr().err


def test_a_classifier_goes_on_bitwise_from_within_an_epoch(tmp_path, monkeypatch):
    settings = SETTINGS | {"batch_size": 4, "epochs": 2}  # three batches an epoch
    whole, ended, resumed = (classifier() for _ in range(3))
    expected = train(whole, tmp_path / "whole", settings)
    augment, calls = training.augment, []

    def asking(*given, **how):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return augment(*given, **how)

    monkeypatch.setattr(training, "augment", asking)
    with pytest.raises(resuming.Stopped, match="step 2 of 3 in epoch 2"):
        train(ended, tmp_path / "parts", settings)
    assert train(resumed, tmp_path / "parts", settings) == expected and len(calls) == 6
    assert same(resumed, whole)


def train(model, work, settings):
    return training.train(model, *bags((6, 6)), work=work, **settings)
