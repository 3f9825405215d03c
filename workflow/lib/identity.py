"""Who a file is, by its content: cheap enough for thousands of gigapixel slides."""

import contextlib
import hashlib
import json
import os
import re
import uuid
from pathlib import Path

WHOLE_BYTES = 16 << 20  # files up to this size are hashed whole
SAMPLE_BYTES = 64 << 10
SAMPLES = 16  # evenly spaced, head and tail included: a swapped slide cannot pass, a flipped
# bit in the middle can; give the sheet a sha256 where that matters
SERIES_UID = re.compile(rb"\x20\x00\x0e\x00UI(.)\x00([0-9.]+)", re.DOTALL)


def identity(path: Path) -> str:
    """Hash of a slide's size and content (sampled above 16 MiB), companions included.

    The modification time does not count. Companions are the data folder of a MIRAX slide and
    the other instances of a DICOM series. Raises OSError when the file cannot be read.
    """
    hasher = hashlib.sha256()
    for part in [path, *companions(path)]:
        name = "" if part == path else part.name  # a slide that was renamed is the same slide
        hasher.update(f"{name}:{part.stat().st_size}:".encode())
        hasher.update(_sampled(part) if part == path else _head(part))
    return hasher.hexdigest()[:32]


def companions(path: Path) -> list[Path]:
    """Further files that a slide consists of, sorted."""
    if path.suffix.lower() == ".mrxs" and path.with_suffix("").is_dir():
        return sorted(file for file in path.with_suffix("").rglob("*") if file.is_file())
    if path.suffix.lower() == ".dcm" and (series := _series(path)):
        siblings = path.parent.glob("*.dcm")
        return sorted(file for file in siblings if file != path and _series(file) == series)
    return []


class Identities:
    """Identities remembered in one JSON file, so that unchanged slides are not read again.

    A slide is looked up by path, size, inode, modification and change time: replacing a file
    changes at least one of them, even when its modification time is set back.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known: dict[str, str] = {}
        self.changed = False
        with contextlib.suppress(OSError, ValueError):  # absent or torn: slides are read again
            self.known = json.loads(file.read_text())

    def of(self, path: Path) -> str:
        """The identity of `path`, or "unreadable" (check_slide then says why)."""
        try:
            stats = [
                (s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns)
                for s in (part.stat() for part in [path, *companions(path)])
            ]
            key = f"{os.path.abspath(path)}:{hashlib.sha256(repr(stats).encode()).hexdigest()}"
            if key not in self.known:
                self.known[key] = identity(path)
                self.changed = True
            return self.known[key]
        except OSError:
            return "unreadable"

    def save(self) -> None:
        """Write what was learnt, atomically; losing it costs only time."""
        if self.changed:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            draft = self.file.with_name(f".{self.file.name}.{uuid.uuid4().hex}")
            draft.write_text(json.dumps(self.known, indent=0, sort_keys=True))
            os.replace(draft, self.file)
            self.changed = False


def _sampled(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as stream:
        if size <= WHOLE_BYTES:
            return hashlib.file_digest(stream, "sha256").digest()
        hasher = hashlib.sha256()
        for index in range(SAMPLES):
            stream.seek((size - SAMPLE_BYTES) * index // (SAMPLES - 1))
            hasher.update(stream.read(SAMPLE_BYTES))
        return hasher.digest()


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.sha256(stream.read(SAMPLE_BYTES)).digest()


def _series(path: Path) -> bytes | None:
    with path.open("rb") as stream:
        found = SERIES_UID.search(stream.read(SAMPLE_BYTES))
    return found.group(2)[: found.group(1)[0]] if found else None
