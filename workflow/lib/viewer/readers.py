"""Open slides that are kept for the next tile: a reader belongs to one thread at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from workflow.lib.slides.slides import SlideReader, open_reader

IDLE = 4  # readers that are kept open while nobody reads


class Readers:
    """Lends readers of slides to threads."""

    def __init__(self) -> None:
        self._idle: list[tuple[Path, SlideReader]] = []
        self._lock = Lock()

    @contextmanager
    def borrow(self, path: Path, mpp: float) -> Iterator[SlideReader]:
        """A reader of the slide that is nobody else's meanwhile; raises what `open_reader` does.

        A reader that failed is closed: the file may be repaired when it is asked for again.
        """
        reader = self._take(path) or open_reader(path, mpp=mpp)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        with self._lock:
            self._idle.append((path, reader))
            old = self._idle.pop(0)[1] if len(self._idle) > IDLE else None
        if old:
            old.close()

    def _take(self, path: Path) -> SlideReader | None:
        with self._lock:
            for place, (known, reader) in enumerate(self._idle):
                if known == path:
                    del self._idle[place]
                    return reader
        return None

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, reader in idle:
            reader.close()
