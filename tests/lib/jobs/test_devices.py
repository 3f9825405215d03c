"""Devices: what is asked for where it exists, else the CPU, said aloud."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from workflow.lib.jobs import devices
from workflow.lib.jobs.devices import choose_precision, mixed, prepare


@pytest.fixture(autouse=True)
def _restore():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_without_a_gpu_everything_runs_on_the_cpu(monkeypatch, caplog, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert prepare(device, threads=1) == torch.device("cpu")
    assert ("sees no such GPU" in caplog.text) == (device == "cuda")


@pytest.mark.parametrize(
    ("device", "found"),
    [
        ("auto", "cuda:1"),
        ("cuda", "cuda:1"),
        ("cpu", "cpu"),
        ("cuda:0", "cuda:0"),
        ("cuda:2", "cpu"),
    ],
)
def test_with_gpus_one_is_used_unless_refused(monkeypatch, device, found):
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(uuid=i))
    monkeypatch.setattr(devices, "claim", lambda ids, folder: ids.index("1"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _seed: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert prepare(device, threads=1) == torch.device(found)


def test_a_single_gpu_is_not_claimed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _seed: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert prepare("auto", threads=1) == torch.device("cuda")


def test_jobs_at_a_time_take_different_gpus_and_a_killed_one_leaves_its_own(tmp_path):
    claim, ids = devices.claim.__wrapped__, ("first", "second", "third")
    assert claim(ids, tmp_path) == 0
    path = tmp_path / f"microtome-{os.getuid()}-second.lock"
    code = "import fcntl, sys, time; lock = open(sys.argv[1], 'w')\n"
    code += "fcntl.flock(lock, fcntl.LOCK_EX); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, path], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        assert claim(ids, tmp_path) == 2
        assert claim(ids, tmp_path) == os.getpid() % 3  # all taken: shared
        other.kill()
    assert claim(ids, tmp_path) == 1


def test_a_process_keeps_the_gpu_that_it_has(tmp_path):
    assert devices.claim(("a", "b"), tmp_path) == devices.claim(("a", "b"), tmp_path) == 0


def test_threads_and_seed_are_set():
    prepare("cpu", threads=1, seed=7)
    assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
    first = torch.rand(2)
    prepare("cpu", threads=1, seed=7)
    assert torch.equal(torch.rand(2), first)


def test_another_word_is_an_error():
    with pytest.raises(ValueError, match="'gpu'; write auto, cpu, cuda or cuda:1"):
        prepare("gpu", threads=1)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_bf16_is_used_where_the_hardware_has_it(monkeypatch, caplog, kind, native):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": native})
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    device = torch.device(kind)
    assert choose_precision("bf16", device) == ("bf16" if native else "fp32")
    assert ("float32 instead" in caplog.text) == (not native)
    assert choose_precision("fp32", device) == "fp32"


def test_another_precision_is_an_error():
    with pytest.raises(ValueError, match="'half'; write fp32 or bf16"):
        choose_precision("half", torch.device("cpu"))


def test_bf16_computes_in_bf16_and_keeps_weights_in_float32():
    layer, device = torch.nn.Conv2d(1, 1, 3), torch.device("cpu")
    with mixed(device, "bf16"):
        found = layer(torch.rand(1, 1, 8, 8))
    assert found.dtype == torch.bfloat16
    found.float().sum().backward()
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32
    with mixed(device, "fp32"):
        assert layer(torch.rand(1, 1, 8, 8)).dtype == torch.float32
