"""Features of a slide as a PyTorch tensor, for CLAM."""

from pathlib import Path

import numpy as np
import torch


def write_tensor(path: Path, features: np.ndarray) -> None:
    """Write `features` (N, D) as a float32 tensor; it loads with `weights_only`."""
    torch.save(torch.from_numpy(np.ascontiguousarray(features, np.float32)), path)
