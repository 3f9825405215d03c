"""What is damaged in the results of a study: a file, a manifest, an index, a table, or all of it.

A unit answers for its files with their checksums, a table has them in its sidecar, manifests,
sidecars and indices carry a seal of themselves, and indices answer for the units that they list.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from workflow.lib.jobs.recipe import canon, digest
from workflow.lib.jobs.units import checksum

SIDECAR = ".recipe.json"
CACHE = "identities.json"  # losing it costs only time
KEYS = {
    "manifest": {"verdict", "sentence", "facts", "recipe", "made_from", "files"},
    "index": {"rule", "shard", "recipe", "units"},
    "sidecar": {"recipe", "files"},
}


class Damage(NamedTuple):
    """One thing that is wrong.

    thing    the unit folder, index or table that has to be made again
    kind     "unit", "index", "table", or "foreign": a file that no stage wrote, its owner's to move
    rule     that makes it; "" where nothing says which
    """

    thing: Path
    kind: str
    rule: str
    sentence: str


def find_damage(results: Path) -> tuple[int, list[Damage]]:
    """How many results were checked below the folder of a study, and all that is wrong there."""
    units, tables, indices, others = walk_results(results)
    listed, found = _read_indices(indices)
    rules = {unit: records[-1][1] for unit, records in listed.items()}
    checked = [*units, *tables]
    with ThreadPoolExecutor() as pool:
        bar = {"total": len(checked), "desc": "verify", "disable": None}
        for thing, faults in zip(checked, tqdm(pool.map(_check, checked), **bar), strict=True):
            for kind, rule, sentence in faults:
                found.append(Damage(thing, kind, rules.get(thing) or rule, sentence))
    found += _lost(listed, {damage.thing for damage in found})
    found += [Damage(file, "foreign", "", f"{file}: nothing vouches for it") for file in others]
    return len(checked), found


def walk_results(results: Path) -> tuple[list[Path], list[Path], list[Path], list[Path]]:
    """Units, tables (those with a sidecar), indices, and files that are none of these; sorted."""
    units, tables, indices, others = [], [], [], []
    for place, folders, files in os.walk(results, followlinks=True):
        folder = Path(place)
        if "manifest.json" in files:
            folders.clear()
            units.append(folder)
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        recorded = {n[1 : -len(SIDECAR)] for n in files if n[0] == "." and n.endswith(SIDECAR)}
        tables += [folder / name for name in recorded]
        rest = {name for name in files if name[0] != "." and name != CACHE} - recorded
        for name in rest:
            (indices if name.endswith(".json") else others).append(folder / name)
    return sorted(units), sorted(tables), sorted(indices), sorted(others)


def unlisted(results: Path) -> list[Path]:
    """Units that no index lists: of slides that left the sheet, or of an index that was lost."""
    units, _, indices, _ = walk_results(results)
    listed, _ = _read_indices(indices)
    return [unit for unit in units if unit not in listed]


def _read(file: Path, kind: str) -> dict:
    """A JSON file that a stage wrote. Raises ValueError where it is not as it was written.

    One without a seal, of an earlier version, has to be canonical and have the keys of its kind.
    """
    text = file.read_text()
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("its bytes changed")
    value = {key: content[key] for key in content if key != "seal"}
    whole = set(value) == KEYS[kind] and text == canon(content) + "\n"
    if not whole or content.get("seal", digest(value)) != digest(value):
        raise ValueError("its bytes changed")
    return value


Listed = dict[Path, list[tuple[dict, str]]]  # unit -> what indices say of it, and their rule


def _read_indices(indices: list[Path]) -> tuple[Listed, list[Damage]]:
    listed, damaged = defaultdict(list), []
    for index in indices:
        try:
            content = _read(index, "index")
        except (OSError, ValueError) as error:
            damaged.append(Damage(index, "index", "", f"{index}: cannot be read ({error})"))
            continue
        for name, record in content["units"].items():
            listed[index.parent / name].append((record, content["rule"]))
    return dict(listed), damaged


def _lost(listed: Listed, damaged: set[Path]) -> Iterator[Damage]:
    """Units that are not as any index lists them; Snakemake, which sees indices alone, is blind.

    An index of an earlier grouping into shards may lie beside the current one; a unit may be as
    either says.
    """
    for unit, records in sorted(listed.items()):
        rule = records[-1][1]
        try:
            found = _read(unit / "manifest.json", "manifest")
        except FileNotFoundError:
            yield Damage(unit, "unit", rule, f"{unit}: is missing")
            continue
        except (OSError, ValueError):
            continue  # `_check` says so
        listed_so = any({key: found.get(key) for key in record} == record for record, _ in records)
        if not listed_so and unit not in damaged:
            yield Damage(unit, "unit", rule, f"{unit}: is not the result that its index lists")


Fault = tuple[str, str, str]  # kind, rule, sentence


def _check(thing: Path) -> list[Fault]:
    """What is wrong with a unit or a table, and its record."""
    unit = (thing / "manifest.json").is_file()
    kind = "unit" if unit else "table"
    record = thing / "manifest.json" if unit else thing.with_name(f".{thing.name}{SIDECAR}")
    try:
        content = _read(record, "manifest" if unit else "sidecar")
        made_from, files = content["made_from" if unit else "recipe"], content["files"]
        if unit and digest(made_from) != content["recipe"]:
            raise ValueError("its bytes changed")
        rule, folder = made_from["rule"], record.parent
        faults = [(kind, rule, sentence) for sentence in _compare(folder, files)]
    except (OSError, ValueError, TypeError, KeyError) as error:
        return [(kind, "", f"{record}: cannot be read ({error})")]
    if unit:
        present = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if not f.is_dir()}
        unknown = sorted(present - set(files) - {"manifest.json"})
        faults += [("foreign", rule, f"{folder / n}: is not in the manifest") for n in unknown]
    return faults


def _compare(folder: Path, files: dict[str, dict]) -> Iterator[str]:
    for name, expected in files.items():
        file = folder / name
        try:
            size = file.stat().st_size
            if size != expected["bytes"]:
                yield f"{file}: has {size} bytes instead of {expected['bytes']}"
            elif checksum(file) != expected:
                yield f"{file}: its bytes changed"
        except FileNotFoundError:
            yield f"{file}: is missing"
        except OSError as error:
            yield f"{file}: cannot be read ({error})"
