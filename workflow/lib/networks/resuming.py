"""Training that can be killed at any moment: the state after the last finished round, on disk."""

import contextlib
import hashlib
import io
import logging
import os
import pickle
import signal
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from workflow.lib.jobs.recipe import digest
from workflow.lib.jobs.units import identify

log = logging.getLogger(__name__)

CHECKSUM = hashlib.sha256().digest_size  # bytes in front of what torch wrote


class Stopped(Exception):
    """A training was asked to end, and is saved up to `where`."""

    def __init__(self, where: str) -> None:
        super().__init__(f"E_STOPPED: The training was asked to end and is saved up to {where}.")


@contextlib.contextmanager
def asked_to_end() -> Iterator[list[int]]:
    """A list that is empty until SIGTERM comes, which does not end the process meanwhile."""
    asked = []
    before = signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


def make_key(
    recipe: Mapping, placed: Mapping[str, object], sources: Sequence[Path], *others: object
) -> str:
    """What a checkpoint of a training is known by, so that no other training goes on from it.

    recipe: of the shard, whose slides do not count; placed: what splits.tsv says of each slide;
    sources: stage folders, read for the slides of `placed`, and units. Their verdicts count: a
    slide that was put aside and is well again makes another training.
    """
    made_from = {key: value for key, value in recipe.items() if key != "slides"}
    read = [
        identify(source, slide)
        for source in sources
        for slide in ([None] if (source / "manifest.json").is_file() else sorted(placed))
    ]
    return digest([made_from, placed, read, *others])


def save(work: Path, state: dict) -> None:
    """Replace `work`/checkpoint.pt as a whole: a kill leaves the old one or the new one.

    state: tensors and plain values only (what torch loads with weights_only), with its "key".
    """
    work.mkdir(parents=True, exist_ok=True)
    draft, written = work / f"checkpoint.{os.getpid()}.draft", io.BytesIO()
    torch.save(state, written)
    with draft.open("wb") as stream:
        stream.write(hashlib.sha256(written.getbuffer()).digest())
        stream.write(written.getbuffer())
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, work / "checkpoint.pt")


def resume(work: Path, key: str, **holders: nn.Module | torch.optim.Optimizer) -> dict | None:
    """The state that was last saved under `key`; None to start anew.

    holders: networks and optimisers, which get the part of the state of their name back.

    None without a checkpoint, where it is damaged (a warning says so), and where its key is
    another one: settings, code or tiles have changed since.
    """
    file = work / "checkpoint.pt"
    if not file.is_file():
        return None
    content = file.read_bytes()
    if hashlib.sha256(content[CHECKSUM:]).digest() != content[:CHECKSUM]:
        log.warning("%s is damaged: training starts anew.", file)
        return None
    try:
        state = torch.load(io.BytesIO(content[CHECKSUM:]), map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        log.warning("%s cannot be read (%s): training starts anew.", file, error)
        return None
    if state["key"] != key:
        log.info("The settings or the tiles changed since the last checkpoint: starting anew.")
        return None
    for name, holder in holders.items():
        holder.load_state_dict(state.pop(name))
    log.info("Going on after the last checkpoint.")
    return state
