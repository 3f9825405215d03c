"""What benchmarks print: a table that people read, and lines on what is left out of it."""

import importlib
import sys
from collections.abc import Collection, Sequence
from types import ModuleType


def print_table(rows: Sequence[Sequence[str]], *, texts: Collection[int]) -> None:
    """Print rows of cells, the first of them the head; columns `texts` begin at the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        shown = [c.ljust(w) if i in texts else c.rjust(w) for i, (c, w) in cells]
        print("  ".join(shown).rstrip())


def find_library(name: str) -> ModuleType | None:
    """A library that is measured where it is installed; else None, and a line that says so."""
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed: left out.", file=sys.stderr)
        return None
