"""Whether the weights that a config asks for are on this machine, without building a network."""

import json
import os
import shlex
from pathlib import Path

from huggingface_hub import constants

from workflow.lib.networks.checkpoints import SUFFIXES, locate


def find_weights(architecture: str, checkpoint: str, weights: Path | None) -> str | None:
    """What the start of a network is on this machine, in words; None where it has to be fetched.

    checkpoint: as in checkpoints.py. Raises FileNotFoundError or ValueError like `locate`.
    """
    if checkpoint in ("random", "deepcluster"):
        return "no file needed"
    if path := locate(architecture, checkpoint, weights):
        return str(path)
    if checkpoint == "hub":
        repository = _repository(architecture).replace("/", "--")
        # timm adds a tag to its own names: models--timm--vit_small_patch16_224.augreg_in1k
        folders = [f"models--{repository}", f"models--{repository}.*"]
        found = (f for name in folders for f in _cache().glob(f"{name}/snapshots/*/*"))
        return next((str(f) for f in sorted(found) if f.suffix in SUFFIXES and f.exists()), None)
    # torchvision's own names: resnet18-f37072fd.pth, efficientnet_b0_rwightman-7f5810bc.pth
    names = (f"{architecture}-{'?' * 8}.pth", f"{architecture}_*-{'?' * 8}.pth")
    found = [file for name in names for file in sorted(_torch_cache().glob(name))]
    return str(found[0]) if found else None


def fetch_command(architecture: str, checkpoint: str) -> str:
    """What to type where there is a network, so that the weights are here afterwards."""
    if checkpoint == "hub":
        code = f"import timm; timm.create_model({json.dumps(architecture)}, pretrained=True)"
    else:
        code = "from torchvision import models; "
        code += f'models.get_model({json.dumps(architecture)}, weights="IMAGENET1K_V1")'
    return f"python -c {shlex.quote(code)}"


def _repository(architecture: str) -> str:
    """The name of a timm encoder on the hub, without a revision."""
    if architecture.startswith("hf-hub:"):
        return architecture.removeprefix("hf-hub:").split("@")[0]
    return f"timm/{architecture}"


def _cache() -> Path:
    return Path(constants.HF_HUB_CACHE)


def _torch_cache() -> Path:
    """Where torch keeps what it fetched, as its documentation has it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return Path(os.environ.get("TORCH_HOME", cache / "torch")) / "hub" / "checkpoints"
