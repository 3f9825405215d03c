"""A training whose step a GPU has no room for: an error that names the setting, in every loop."""

import pytest
import torch

from tests.lib import courses
from tests.lib.clusters import test_dcec
from tests.lib.networks.test_fitting import Line, run
from workflow.lib.clusters import dcec, deepcluster
from workflow.lib.jobs.job import with_code
from workflow.lib.networks import resuming

WORDS = "CUDA out of memory. Tried to allocate 20.00 GiB."
TOLD = r"^a training step does not fit on the GPU \(CUDA .* GiB\.\); lower the batch_size of this"


def full(*given, **named):
    raise torch.cuda.OutOfMemoryError(f"{WORDS}\nSee the documentation.")


def test_a_step_without_room_says_batch_size_and_keeps_the_epochs_before(tmp_path):
    line = Line()
    plain = line.loss
    line.loss = lambda *given: full() if line.validated == 2 else plain(*given)
    with pytest.raises(MemoryError, match=TOLD) as caught:
        run(line, tmp_path)
    said = with_code(caught.value)
    assert said.startswith("E_MEMORY: a training step does not fit") and "\n" not in said
    assert isinstance(caught.value.__cause__, torch.OutOfMemoryError)
    assert resuming.resume(tmp_path, "k")["epoch"] == 2


def test_gradients_need_room_too(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "backward", full)
    with pytest.raises(MemoryError, match=TOLD):
        run(Line(), tmp_path)


def test_deepcluster_says_it_too(tmp_path, monkeypatch):
    monkeypatch.setattr(deepcluster, "augment", full)
    with pytest.raises(MemoryError, match=TOLD):
        courses.run(courses.course(watched=False), tmp_path)


def test_dcec_says_it_too(tmp_path, monkeypatch):
    monkeypatch.setattr(dcec.functional, "mse_loss", full)
    with pytest.raises(MemoryError, match=TOLD):
        test_dcec.learn(test_dcec.course(test_dcec.two_textures(4)), tmp_path)


def test_what_is_no_lack_of_memory_stays_as_it_is(tmp_path):
    line = Line(broken=0)
    with pytest.raises(ValueError, match="training loss is nan"):
        run(line, tmp_path)
