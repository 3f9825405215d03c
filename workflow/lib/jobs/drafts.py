"""Drafts: what a process makes under a name of its own, until it is whole or no longer needed."""

import errno
import os
import shutil
import socket
import uuid
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)  # what an OSError says where there is no room for one
ROOM = 1 << 16  # bytes; the log of a job that failed is shorter


def draft_of(thing: Path) -> Path:
    """A name beside `thing` that says whose it is: .name.<process>@<host>@<anything>.draft."""
    owner = f"{os.getpid()}@{socket.gethostname()}"
    return thing.with_name(f".{thing.name}.{owner}@{uuid.uuid4().hex[:8]}.draft")


def sweep(folder: Path, name: str = "*") -> None:
    """Remove the drafts that killed processes of this host left in a folder, of things `name`."""
    for leftover in folder.glob(f".{name}.*@{socket.gethostname()}@*"):
        owner = leftover.name.split("@")[0].rpartition(".")[2]
        if owner.isdigit() and not Path("/proc", owner).exists():
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)


def is_full(folder: Path) -> bool:
    """Whether a disk, or a quota, has no room for as much as the log of a job in `folder`."""
    draft = draft_of(folder / "room")
    try:
        with draft.open("wb") as stream:
            stream.write(bytes(ROOM))
            stream.flush()
            os.fsync(stream.fileno())  # some disks find out only then
    except OSError as error:
        return error.errno in FULL
    finally:
        draft.unlink(missing_ok=True)
    return False


def is_elsewhere(draft: Path) -> bool:
    """Whether a draft is of another host, of which nobody here knows if it is at work."""
    return "@" in draft.name and f"@{socket.gethostname()}@" not in draft.name
