"""A network that was trained here, in its unit: its tensors, and a record of what it is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from workflow.lib.networks import checkpoints

Model = TypeVar("Model", bound=nn.Module)


def save_model(model: nn.Module, folder: Path, record: dict) -> dict:
    """Write the tensors of `model`, and `record` with their sha256; gives what was recorded."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    record = record | {"sha256": checkpoints.sha256(folder / "model.safetensors")}
    (folder / "model.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    return record


def load_model(
    folder: Path,
    build: Callable[[dict], Model],
    saved: Callable[[Model], nn.Module] = lambda model: model,
) -> Model:
    """What `save_model` wrote into `folder`, in evaluation; the caller's random state is kept.

    build: makes the network from its record; saved: the part of it whose tensors were written.
    Raises ValueError, naming the file, when it is damaged or is not the one that was saved.
    """
    record, file = read_record(folder), folder / "model.safetensors"
    if checkpoints.sha256(file) != record["sha256"]:
        raise ValueError(
            f"{file} is not the file that {folder / 'model.json'} describes: it is damaged; "
            "delete its folder and run again to train it anew"
        )
    with torch.random.fork_rng(devices=[]):
        model = build(record)
    checkpoints.load(saved(model), load_file(file), source=file)
    return model.eval()


def read_record(folder: Path) -> dict:
    """What is recorded of the network in `folder`."""
    return json.loads((folder / "model.json").read_text())


def check_start(folder: Path, record: dict, classifier: str) -> None:
    """Refuse what was trained on another classifier, whose features it would misread.

    record: of the network in `folder`; classifier: what identifies the one at hand.
    """
    if record["classifier"] != classifier:
        raise ValueError(
            f"{folder / 'model.safetensors'} was trained on another classifier "
            f"({record['classifier'][:12]}, not {classifier[:12]}); train the decoder of this "
            "fold anew"
        )
