"""Where the numbers are crunched: the device, its threads, its seed."""

import logging
import os

import torch

log = logging.getLogger(__name__)


def prepare(device: str, *, threads: int, seed: int = 0) -> torch.device:
    """Set torch up for this job and return the device behind "auto", "cpu" or "cuda".

    float32 stays float32 (no TF32), and algorithms are the deterministic ones wherever torch has
    them, so that the device changes results by rounding only. "cuda" without a GPU falls back to
    the CPU with a warning: slower, the same numbers.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"compute.device is {device!r}; write auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        log.warning("compute.device is cuda, but torch sees no GPU here; using the CPU instead.")
    use_gpu = device != "cpu" and torch.cuda.is_available()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what determinism asks of cuBLAS
    torch.set_num_threads(max(1, threads))
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, guards nothing here
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(seed)
    return torch.device("cuda" if use_gpu else "cpu")
