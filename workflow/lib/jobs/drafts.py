"""Drafts: what a process makes under a name of its own, until it is whole or no longer needed."""

import errno
import hashlib
import os
import shutil
import socket
import uuid
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)  # what an OSError says where there is no room for one
OUTERMOST = "pid:[4026531836]"  # a machine itself, not a container on it: on any Linux
ROOM = 1 << 16  # bytes; the log of a job that failed is shorter


def place() -> str:
    """Where the number of a process means this one: <host>-<8 digits>.

    Containers have numbers of their own, and may have the same host name; another start of a
    machine is the same place, and its processes are no more.
    """
    machine, namespace = Path("/etc/machine-id"), os.readlink("/proc/self/ns/pid")
    parts = [machine.read_text() if machine.is_file() else ""]
    if namespace != OUTERMOST:
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), namespace]
    return f"{socket.gethostname()}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:8]}"


def draft_of(thing: Path) -> Path:
    """A name beside `thing` that says whose it is: .name.<process>@<place>@<anything>.draft."""
    owner = f"{os.getpid()}@{place()}"
    return thing.with_name(f".{thing.name}.{owner}@{uuid.uuid4().hex[:8]}.draft")


def sweep(folder: Path, name: str = "*") -> None:
    """Remove the drafts that killed processes of this place left in a folder, of things `name`."""
    for leftover in folder.glob(f".{name}.*@{place()}@*"):
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
    """Whether a draft is of another place, of which nobody here knows if it is at work."""
    return "@" in draft.name and f"@{place()}@" not in draft.name
