"""Disks so small that they can be filled."""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[str]:
    """A new folder that is a disk of so many MB; gives why it is none, "" where it is one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    refused = re.search("permission denied|must be superuser", done.stderr)
    assert refused or done.returncode == 0, done.stderr
    try:
        yield done.stderr.strip() if refused else ""
    finally:
        if not refused:
            subprocess.run(["umount", "--lazy", folder], check=True)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """The same for a test, which is skipped where nobody may mount a disk."""
    with mounted(folder, megabytes) as refused:
        if refused:
            pytest.skip(f"no disk can be mounted here: {refused}")
        yield folder


def fill(disk: Path) -> Path:
    """A file that leaves no room on a disk."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(bytes(1 << 12))
    return ballast
