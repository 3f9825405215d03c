"""Training that can be killed at any moment: the state after the last finished round, on disk."""

import logging
import os
import pickle
from pathlib import Path

import torch

log = logging.getLogger(__name__)


def save(work: Path, state: dict) -> None:
    """Replace `work`/checkpoint.pt as a whole: a kill leaves the old one or the new one.

    state: tensors and plain values only (what torch loads with weights_only), with its "key".
    """
    work.mkdir(parents=True, exist_ok=True)
    draft = work / f"checkpoint.{os.getpid()}.draft"
    with draft.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, work / "checkpoint.pt")


def resume(work: Path, key: str) -> dict | None:
    """The state that was last saved under `key`; None to start anew.

    None without a checkpoint, where it cannot be read (a warning says so), and where its key is
    another one: settings, code or tiles have changed since.
    """
    file = work / "checkpoint.pt"
    if not file.is_file():
        return None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        log.warning("%s cannot be read (%s): training starts anew.", file, error)
        return None
    if state["key"] != key:
        log.info("The settings or the tiles changed since the last checkpoint: starting anew.")
        return None
    return state
