"""Memory of batches is used again on processors, and given back after them."""

import platform
import subprocess
import sys

import pytest
import torch

from workflow.lib.tiles import kept_memory as module
from workflow.lib.tiles.kept_memory import KEPT, PLAIN, kept_memory

CPU = torch.device("cpu")
GLIBC = platform.libc_ver()[0] == "glibc"
BLOCK = 96 << 20  # bytes; above what glibc keeps by itself


@pytest.fixture
def told(monkeypatch):
    """What the allocator is told."""
    said = []
    monkeypatch.setattr(module, "_tell", said.append)
    return said


def test_the_allocator_is_told_at_the_beginning_and_at_the_outer_end(told):
    with kept_memory(CPU):
        with kept_memory(CPU):
            pass
        assert told == [KEPT, KEPT]
    assert told == [KEPT, KEPT, PLAIN]


def test_it_is_told_too_when_something_fails(told):
    with pytest.raises(ValueError, match="no"), kept_memory(CPU):
        raise ValueError("no")
    assert told == [KEPT, PLAIN]


def test_a_gpu_changes_nothing(told):
    with kept_memory(torch.device("cuda")):
        pass
    assert told == []


def test_another_c_library_is_no_error(monkeypatch):
    monkeypatch.setattr(module.ctypes, "CDLL", lambda _: object())
    with kept_memory(CPU):
        pass


@pytest.mark.skipif(not GLIBC, reason="it is glibc that is told")
def test_blocks_are_used_again_within_and_given_back_after():
    """In a process of its own, whose heap nothing else has been in."""
    code = f"""
import resource, types, numpy as np
from workflow.lib.tiles.kept_memory import kept_memory

def faults(count):
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(count):
        np.empty({BLOCK}, np.uint8).fill(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - begun

def held():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

plain = faults(4)
with kept_memory(types.SimpleNamespace(type="cpu")):
    faults(1)
    within, full = faults(4), held()
print(plain, within, full - held())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    plain, within, back = map(int, done.stdout.split())
    assert within < plain / 20 and back > BLOCK / 2
