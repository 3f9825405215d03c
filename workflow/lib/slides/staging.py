"""A slide on a local disk for as long as it is worked on: itself, or a copy that goes after."""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from workflow.lib.jobs.drafts import FULL, draft_of, sweep
from workflow.lib.jobs.identity import companions
from workflow.lib.jobs.verdicts import Quarantine
from workflow.lib.slides.buckets import ObjectPath, StorageError, fetch, find_parts
from workflow.lib.slides.slides import stamp

log = logging.getLogger(__name__)

NAME = "microtome"  # of copies, as drafts


@contextmanager
def staged(path: Path | ObjectPath, scratch: Path | None) -> Iterator[Path]:
    """The file to read a slide from, inside the block.

    Without `scratch` a file is read where it is. An object, and with `scratch` any slide, is copied
    with all that belongs to it into a folder of its own there (objects without: in the folder for
    temporary files), which is removed when the block ends, however it ends. `scratch` may name
    variables of the environment. Copies that killed processes left here are removed first.

    Raises StorageError, and Quarantine E_IO for a file that cannot be read.
    """
    if scratch is None and isinstance(path, Path):
        yield path
        return
    folder = _make_folder(scratch)
    try:
        _copy(path, folder)
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_folder(scratch: Path | None) -> Path:
    """An empty folder that only its user can read, where others of dead processes are gone."""
    place = os.path.expandvars(scratch or tempfile.gettempdir())
    try:
        if "$" in place:
            raise StorageError("E_SCRATCH", f"{place} names a variable that is not set.")
        os.makedirs(place, exist_ok=True)
        sweep(Path(place), NAME)
        folder = draft_of(Path(place, NAME))
        folder.mkdir(mode=0o700)
        return folder
    except OSError as error:
        raise _no_room(place, error.strerror) from error


def _copy(path: Path | ObjectPath, folder: Path) -> None:
    before = stamp(path) if isinstance(path, Path) else None
    try:
        parts = _parts(path)
        size, free = sum(size for _, size, _ in parts), shutil.disk_usage(folder).free
        if size > free:
            raise _no_room(folder.parent, f"{path.name} needs {size:,} bytes, {free:,} are free")
        for name, _, write in parts:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write(target)
    except OSError as error:
        if error.errno in FULL or isinstance(path, ObjectPath):
            raise _no_room(folder.parent, error.strerror) from error
        said = f"{path.name}: copying to {folder.parent} failed ({error.strerror})."
        raise Quarantine("E_IO", said) from error
    if isinstance(path, Path) and stamp(path) != before:
        raise Quarantine("E_IO", f"{path.name}: the file changed while it was read.")
    log.info("%s: copied to %s, %.1f MB.", path.name, folder.parent, size / 1e6)


def _parts(path: Path | ObjectPath) -> list[tuple[str | Path, int, Callable[[Path], object]]]:
    """What a slide consists of: the name beside the slide, bytes, and what writes it."""
    if isinstance(path, ObjectPath):
        return [(part.name, part.size, partial(fetch, path, part)) for part in find_parts(path)]
    return [
        (file.relative_to(path.parent), file.stat().st_size, partial(shutil.copyfile, file))
        for file in [path, *companions(path)]
    ]


def _no_room(place: str | Path, reason: str | None) -> StorageError:
    return StorageError("E_SCRATCH", f"slides cannot be copied to {place} ({reason}).")
