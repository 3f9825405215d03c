"""Units: the result of one slide or one model, a folder with its `manifest.json`.

A unit is built under a temporary name and renamed whole, so it is either there and complete or
not there. A unit whose manifest already carries the recipe that a visit would give it is left
alone: that is how a killed job resumes and how an edit costs only what it touches.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from workflow.lib.jobs.drafts import draft_of, sweep
from workflow.lib.jobs.recipe import canon, digest
from workflow.lib.jobs.verdicts import Quarantine

log = logging.getLogger(__name__)


def manifest(unit: Path) -> dict:
    """What a unit says of itself: verdict, sentence, recipe, made_from, facts, files.

    Raises FileNotFoundError when the unit was never made.
    """
    return json.loads((unit / "manifest.json").read_text())


def usable(folder: Path, slides: Iterable[str]) -> list[str]:
    """Those of `slides` that a stage has a result for and that are not quarantined, sorted."""
    return sorted(
        slide
        for slide in set(slides)
        if (folder / slide / "manifest.json").is_file()
        and manifest(folder / slide)["verdict"].startswith("ok")
    )


def make_unit(
    folder: Path, made_from: dict, work: Callable[[Path], dict | None], carried: dict | None
) -> dict:
    """Make the unit `folder` unless it stands with this recipe; its verdict and recipe.

    A unit with a bad verdict of its own is made again: the file may have been repaired since.

    `work(draft)` writes the files and returns the facts; a verdict `carried` from upstream that is
    a quarantine takes its place. A draft is removed whatever happens.
    """
    recipe = digest(made_from)
    try:
        known = manifest(folder)
        if known["recipe"] == recipe and (known["verdict"].startswith("ok") or carried):
            return {"verdict": known["verdict"], "recipe": recipe}
    except (OSError, ValueError):
        pass  # absent or torn: make it
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_of(folder)
    draft.mkdir()
    try:
        found = _work(draft, work, carried)
        found |= {"recipe": recipe, "made_from": made_from, "files": _files(draft)}
        write_json(draft / "manifest.json", found)
        _replace(folder, draft, recipe)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {"verdict": found["verdict"], "recipe": recipe}


def identify(source: Path, slide: str | None) -> str:
    """What identifies an upstream result: the recipe of a unit, the hash of a plain file."""
    if source.is_file():
        return hashlib.sha256(source.read_bytes()).hexdigest()
    if (source / "manifest.json").is_file():
        return standing(manifest(source))
    if slide is None or not (source / slide / "manifest.json").is_file():
        raise FileNotFoundError(f"{source} holds no result to build on; run the stage before")
    return standing(manifest(source / slide))


def standing(found: dict) -> str:
    """What identifies a unit to its successors, of its manifest: the recipe, or a bad verdict.

    A verdict that storage caused may go, recipe unchanged.
    """
    if found["verdict"].startswith("ok"):
        return found["recipe"]
    return digest([found["verdict"], found["sentence"]])


def carried_verdict(slide: str, sources: Sequence[Path]) -> dict | None:
    """The verdict that a slide brings from upstream: its quarantine, or that it has no tile."""
    empty = None
    for source in sources:
        file = source / slide / "manifest.json"
        if file.is_file():
            found = manifest(file.parent)
            if not found["verdict"].startswith("ok"):
                return found
            if found["verdict"] == "ok_empty":
                empty = found
    return empty


def checksum(file: Path) -> dict:
    """SHA-256 and size of a file, as manifests carry them."""
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": sha256, "bytes": file.stat().st_size}


def write_json(file: Path, value: dict) -> None:
    """Write canonical JSON, atomically and onto the disk, with a seal: the hash of all else."""
    value = {key: item for key, item in value.items() if key != "seal"}
    value["seal"] = digest(value)
    file.parent.mkdir(parents=True, exist_ok=True)
    sweep(file.parent, file.name)
    draft = draft_of(file)
    with draft.open("w") as stream:
        stream.write(canon(value) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, file)


def _work(draft: Path, work: Callable[[Path], dict | None], carried: dict | None) -> dict:
    if carried and not carried["verdict"].startswith("ok"):
        return {"verdict": carried["verdict"], "sentence": carried["sentence"], "facts": {}}
    try:
        facts = work(draft) or {}
    except Quarantine as verdict:
        for leftover in draft.iterdir():
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        log.warning("%s: %s", verdict.code, verdict.sentence)
        return {"verdict": verdict.code, "sentence": verdict.sentence, "facts": {}}
    empty = carried is not None or facts.get("tiles") == 0
    return {"verdict": "ok_empty" if empty else "ok", "sentence": None, "facts": facts}


def _files(folder: Path) -> dict[str, dict]:
    found = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        found[file.relative_to(folder).as_posix()] = checksum(file)
    return found


def _replace(folder: Path, draft: Path, recipe: str) -> None:
    """Put `draft` in the place of `folder`; another writer of the same recipe may win."""
    outdated = draft.with_suffix(".old")
    if folder.exists():
        os.rename(folder, outdated)
    try:
        os.rename(draft, folder)
    except OSError:
        if manifest(folder)["recipe"] != recipe:
            raise
    shutil.rmtree(outdated, ignore_errors=True)
