"""Memory of batches is pinned where there is a GPU to copy it to."""

import subprocess
import sys

import numpy as np
import torch

from workflow.lib.tiles.buffers import empty_batch


def test_with_a_gpu_in_use_memory_is_pinned(monkeypatch):
    asked, empty = [], torch.empty

    def pinned(shape, *, dtype, pin_memory):
        asked.append((shape, dtype, pin_memory))
        return empty(shape, dtype=dtype)

    monkeypatch.setattr(torch, "empty", pinned)
    for _ in range(2):
        batch = empty_batch([2, 3])
        assert isinstance(batch, np.ndarray) and batch.shape == (2, 3) and batch.dtype == np.uint8
        assert batch.flags.c_contiguous and batch.flags.writeable
        assert asked == [((2, 3), torch.uint8, True)] * torch.cuda.is_initialized()
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)


def test_torch_is_not_imported_for_it():
    code = "import sys; from workflow.lib.tiles.buffers import empty_batch; empty_batch((2, 3))"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)
