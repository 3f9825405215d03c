"""Why a result is stale: the recipe it carries beside the one that it should have."""

import json
from pathlib import Path


def recorded_recipe(output: Path) -> dict | None:
    """The recipe that an output carries: an index in itself, a table in its sidecar."""
    for file, key in ((output, "recipe"), (sidecar(output), "recipe")):
        if file.suffix == ".json" and file.is_file():
            try:
                return json.loads(file.read_text()).get(key)
            except ValueError:
                return None
    return None


def sidecar(output: Path) -> Path:
    """Where the recipe and checksum of a plain output (a table, a page) stand."""
    return output.with_name(f".{output.name}.recipe.json")


def changes(old: object, new: object, prefix: str = "") -> list[tuple[str, object, object]]:
    """Leaves that differ between two recipes: (dotted key, old value, new value), sorted.

    >>> changes({"settings": {"mpp": 0.5, "seed": 0}}, {"settings": {"mpp": 1, "seed": 0}})
    [('settings.mpp', 0.5, 1)]
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(set(old) | set(new)):
            found += changes(old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key)
        return found
    return [] if old == new else [(prefix, old, new)]


def note_change(output: Path, rule: str, current: dict, notes: Path) -> None:
    """Append what changed in the recipe of `output` to `notes`, one JSON line."""
    recorded = recorded_recipe(output)
    line = {
        "rule": rule,
        "output": str(output),
        "slides": list(current["slides"]),
        "settings": current["settings"],
        "changes": changes(recorded, current) if recorded else None,
    }
    with notes.open("a") as stream:
        stream.write(json.dumps(line) + "\n")


def note_study(study: str, slides: dict[str, int], tiling: dict, notes: Path) -> None:
    """Append what a forecast needs to know of a study to `notes`, one JSON line.

    slides: slide -> bytes of its file. tiling: the settings of tile_slide.
    """
    line = {"study": study, "bytes": slides, "tiling": tiling}
    with notes.open("a") as stream:
        stream.write(json.dumps(line) + "\n")
