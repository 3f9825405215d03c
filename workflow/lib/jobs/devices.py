"""Where the numbers are crunched: the device, its threads, its seed."""

import fcntl
import functools
import logging
import os
import re
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path

import torch

log = logging.getLogger(__name__)

BF16 = ("avx512_bf16", "amx_bf16", "bf16")  # capabilities of processors, the last of Arm's


def prepare(device: str, *, threads: int, seed: int = 0) -> torch.device:
    """Set torch up for this job and return the device behind "auto", "cpu", "cuda" or "cuda:1".

    float32 stays float32 (no TF32), and algorithms are the deterministic ones wherever torch has
    them, so that the device changes results by rounding only. "cuda" without a GPU falls back to
    the CPU with a warning: slower, the same numbers. Where "auto" or "cuda" could be several GPUs,
    jobs that run at a time take different ones.
    """
    found = choose(device)
    if found == "cuda" and (count := torch.cuda.device_count()) > 1:
        ids = [str(torch.cuda.get_device_properties(index).uuid) for index in range(count)]
        found = f"cuda:{claim(tuple(ids), Path(tempfile.gettempdir()))}"
    if device.startswith("cuda") and found == "cpu":
        log.warning("compute.device is %s, but torch sees no such GPU; using the CPU.", device)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what determinism asks of cuBLAS
    torch.set_num_threads(max(1, threads))
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, guards nothing here
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(seed)
    return torch.device(found)


def choose(device: str) -> str:
    """What "auto", "cpu", "cuda" or "cuda:1" means on this machine: a name that torch knows."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ValueError(f"compute.device is {device!r}; write auto, cpu, cuda or cuda:1")
    if device == "cpu" or not torch.cuda.is_available():
        return "cpu"
    name, _, index = device.partition(":")
    if index and int(index) >= torch.cuda.device_count():
        return "cpu"
    return "cuda" if name == "auto" else device


@functools.cache  # a process keeps what it has
def claim(ids: tuple[str, ...], folder: Path) -> int:
    """The first of the GPUs `ids` that no other process has claimed in `folder`, until this ends.

    Where all are taken they are shared, by the number of the process. The lock is the kernel's,
    so that a killed job leaves its GPU free.
    """
    for index, name in enumerate(ids):
        path = folder / f"microtome-{os.getuid()}-{name}.lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            return index  # and the file stays open
    return os.getpid() % len(ids)


def choose_precision(precision: str, device: torch.device) -> str:
    """What "fp32" or "bf16" means on this device: bf16 only where the hardware computes in it.

    A processor without it emulates it, eight times slower than float32 (measured with AVX2).
    """
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"precision is {precision!r}; write fp32 or bf16")
    if precision == "fp32":
        return precision
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = any(torch.cpu.get_capabilities().get(name) for name in BF16)
    if not native:
        log.warning("precision is bf16, which the hardware here has not: float32 instead.")
    return "bf16" if native else "fp32"


def mixed(device: torch.device, precision: str) -> AbstractContextManager:
    """Where "bf16" computes convolutions and products in bfloat16, and "fp32" changes nothing.

    Weights, their gradients and the optimiser stay float32 in both.
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
