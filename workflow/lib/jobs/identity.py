"""Who a file is, by its content: cheap enough for thousands of gigapixel slides."""

import contextlib
import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from workflow.lib.jobs.drafts import draft_of, sweep
from workflow.lib.slides.buckets import ObjectPath, Part, StorageError, ask, find_parts

WHOLE_BYTES = 16 << 20  # files up to this size are hashed whole
SAMPLE_BYTES = 64 << 10
SAMPLES = 16  # evenly spaced, head and tail included: a swapped slide cannot pass, a block that was
# copied again in the middle can; give the sheet a sha256 where that matters, or run -R check_slide
HEAD_BYTES = 64 << 10  # where a DICOM file names its series and an index names its images
SERIES_UID = re.compile(rb"\x20\x00\x0e\x00UI(.)\x00([0-9.]+)", re.DOTALL)
KEYFILES = {".vms", ".vmu"}  # text files that name the images of a Hamamatsu slide


def identity(path: Path) -> str:
    """Hash of a slide's size and content (sampled above 16 MiB), and the suffix of its name.

    The modification time and the rest of the name do not count; the suffix does, because readers
    look at it. Companions count too: the data folder of a MIRAX slide, the images of a Hamamatsu
    one, the other instances of a DICOM series. Raises OSError when a file cannot be read.
    """
    hasher = hashlib.sha256()
    for part in [path, *companions(path)]:
        name = "" if part == path else part.name  # a slide that was renamed is the same slide
        hasher.update(f"{name}:{part.stat().st_size}:".encode())
        hasher.update(_sampled(part))
    return hasher.hexdigest()[:32] + path.suffix.lower()


def companions(path: Path) -> list[Path]:
    """Further files that a slide consists of, sorted."""
    suffix = path.suffix.lower()
    if suffix == ".mrxs" and path.with_suffix("").is_dir():
        return sorted(file for file in path.with_suffix("").rglob("*") if file.is_file())
    if suffix in KEYFILES:
        return _named_in(path)
    if series := _series(path):
        siblings = (file for file in path.parent.iterdir() if file != path and file.is_file())
        return sorted(file for file in siblings if _series(file) == series)
    return []


class Identities:
    """Identities remembered in one JSON file, so that unchanged slides are not read again.

    A slide is looked up by path, size, inode, modification and change time: replacing a file
    changes at least one of them, even when its modification time is set back.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.known: dict[str, str] = {}
        self.objects: dict[ObjectPath, list[Part]] = {}  # of this process: storage is asked anew
        self.changed = False
        with contextlib.suppress(OSError, ValueError):  # absent or torn: slides are read again
            self.known = json.loads(file.read_text())

    def meet(self, paths: Iterable[Path | ObjectPath]) -> list[StorageError]:
        """Ask the storage for the objects among `paths`, many at a time; what is wrong with any."""
        found, faults = ask(path for path in paths if isinstance(path, ObjectPath))
        self.objects |= found
        return faults

    def of(self, path: Path | ObjectPath) -> str:
        """The identity of `path`, or "unreadable" (check_slide then says why).

        That of an object is the sizes and entity tags of its parts; see `buckets.Part`.
        """
        try:
            if isinstance(path, ObjectPath):
                whole, *others = self._parts(path)
                parts = [("", *whole[1:]), *map(tuple, others)]  # its name does not count
                return hashlib.sha256(repr(parts).encode()).hexdigest()[:32] + path.suffix.lower()
            stats = [
                (s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns)
                for s in (part.stat() for part in [path, *companions(path)])
            ]
            key = f"{os.path.abspath(path)}:{hashlib.sha256(repr(stats).encode()).hexdigest()}"
            if key not in self.known:
                self.known[key] = identity(path)
                self.changed = True
            return self.known[key]
        except (OSError, StorageError):
            return "unreadable"

    def twins(self, slides: dict[str, Path | ObjectPath]) -> list[str]:
        """A sentence for every two of `slides` (id -> file) that are the same, suffix or not.

        The same pixels under two patients would be learnt from and tested on. Files without a
        byte are left to check_slide, which says that they are empty.
        """
        alike = defaultdict(list)
        for slide, path in sorted(slides.items()):
            found = self.of(path)
            if found != "unreadable" and self.size(path):
                alike[found.split(".")[0]].append(slide)
        return [
            f"slides {first} and {other} are the same file; keep one of the two rows,"
            " or correct the path of the wrong one"
            for first, *others in alike.values()
            for other in others
        ]

    def size(self, path: Path | ObjectPath) -> int:
        """Bytes of a slide, companions included; 0 where it cannot be read."""
        try:
            if isinstance(path, ObjectPath):
                return sum(part.size for part in self._parts(path))
            return sum(part.stat().st_size for part in [path, *companions(path)])
        except (OSError, StorageError):
            return 0

    def _parts(self, path: ObjectPath) -> list[Part]:
        if path not in self.objects:
            self.objects[path] = find_parts(path)
        return self.objects[path]

    def save(self) -> None:
        """Write what was learnt, atomically; losing it costs only time."""
        if self.changed:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            sweep(self.file.parent, self.file.name)
            draft = draft_of(self.file)
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


def _named_in(keyfile: Path) -> list[Path]:
    """The files beside an ini file that one of its values names."""
    with keyfile.open("rb") as stream:
        text = stream.read(HEAD_BYTES).decode("utf-8", "replace")
    values = {line.partition("=")[2].strip() for line in text.splitlines()}
    names = (value for value in values if Path(value).name == value and "\0" not in value)
    files = (keyfile.with_name(name) for name in names if name)
    return sorted(file for file in files if file != keyfile and file.is_file())


def _series(path: Path) -> bytes | None:
    """The series that a DICOM file, whatever its name, belongs to; None for another file."""
    with path.open("rb") as stream:
        if stream.read(132)[128:] != b"DICM":
            return None
        found = SERIES_UID.search(stream.read(HEAD_BYTES))
    return found.group(2)[: found.group(1)[0]] if found else None
