"""Shards: a job visits a bag of slides and commits each result on its own.

A *unit* is a folder with the result for one slide (or one model) and its `manifest.json`. It is
built under a temporary name and renamed whole, so it is either there and complete or not there.
A unit whose manifest already carries the recipe that a visit would give it is left alone: that is
how a killed job resumes and how an edit costs only what it touches. The *index* of a shard, one
small JSON file, lists its units and is all that Snakemake sees. This is the only module that
knows any of this.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from workflow.lib.recipe import canon, digest
from workflow.lib.sheet import Slide
from workflow.lib.verdicts import Quarantine, is_transient

log = logging.getLogger(__name__)

Upstream = Sequence[Path] | Callable[[Slide], Sequence[Path]]


@dataclass(frozen=True)
class Shard:
    """The slides of one job and the recipe that Snakemake recorded for it."""

    name: str
    slides: Sequence[Slide]
    recipe: dict


def assign_shards(slides: Iterable[str], slides_per_shard: int) -> dict[str, list[str]]:
    """Shard name -> its slides: one slide each, or hash buckets that new slides do not reshuffle.

    The number of buckets is a power of two, so that it changes rarely while a cohort grows; when
    it does, every shard is visited anew and every finished slide in it is skipped.

    >>> assign_shards(["b", "a"], 1)
    {'a': ['a'], 'b': ['b']}
    """
    slides = sorted(slides)
    if slides_per_shard == 1:
        return {slide: [slide] for slide in slides}
    buckets = 1 << max(0, -(-len(slides) // slides_per_shard) - 1).bit_length()
    shards: dict[str, list[str]] = {}
    for slide in slides:
        bucket = int(hashlib.sha256(slide.encode()).hexdigest(), 16) % buckets
        shards.setdefault(f"shard-{bucket + 1:03d}-of-{buckets:03d}", []).append(slide)
    return dict(sorted(shards.items()))


def visit(
    index: Path,
    shard: Shard,
    work: Callable[[Slide, Path], dict | None],
    *,
    upstream: Upstream = (),
    only: Collection[str] | None = None,
) -> None:
    """Make the unit of every slide of the shard (of those in `only`), then write the index.

    `work(slide, folder)` writes its files into `folder` and returns the facts for the manifest.
    `upstream` is what a unit is made from: stage folders with a unit per slide, unit folders of
    models, plain files. A slide that is quarantined upstream keeps that verdict; one that raises
    Quarantine gets it. Any other error is logged, the other slides are finished, then the job
    fails with RuntimeError; a full disk fails at once.
    """
    slides = [slide for slide in shard.slides if only is None or slide.slide in only]
    failed: dict[str, Exception] = {}
    listed = {}
    label = f"{shard.recipe['rule']} {shard.name}"
    for slide in tqdm(slides, desc=label, unit="slide", disable=None, leave=False):
        sources = list(upstream(slide) if callable(upstream) else upstream)
        try:
            made_from = _made_from(shard, slide, sources)
            listed[slide.slide] = _make(
                unit(index.parent, slide.slide),
                made_from,
                lambda folder, slide=slide: work(slide, folder),
                _carried(slide, sources),
            )
        except Exception as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            log.exception("%s failed.", slide.slide)
            failed[slide.slide] = error
    if failed:
        name, error = next(iter(failed.items()))
        raise RuntimeError(
            f"{len(failed)} of {len(slides)} slides failed, the others are kept. "
            f"First: {name}: {error}"
        ) from error
    _write_index(index, shard, listed)


def commit(
    index: Path,
    shard: Shard,
    work: Callable[[Path], dict | None],
    *,
    upstream: Sequence[Path] = (),
    only: Collection[str] | None = None,
) -> None:
    """Make one unit that is not a slide's (a model, a montage): the folder `index` without .json.

    A stage folder in `upstream` stands for the units of the shard's slides (of those in `only`).
    """
    slides = [slide for slide in shard.slides if only is None or slide.slide in only]
    sources = []
    for source in upstream:
        if source.is_file() or (source / "manifest.json").is_file():
            sources.append([source.name, _source(source, None)])
        else:
            units = {slide.slide: _source(source, slide) for slide in slides}
            sources.append([source.name, digest(units)])
    slides_read = {key: shard.recipe["slides"].get(key) for key in sorted(s.slide for s in slides)}
    made_from = {**shard.recipe, "slides": slides_read, "upstream": sources}
    record = _make(index.with_suffix(""), made_from, work, None)
    _write_index(index, shard, {index.stem: record})


def unit(folder: Path, slide: str) -> Path:
    """Where a stage keeps the result of one slide."""
    return folder / slide


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


def _made_from(shard: Shard, slide: Slide, sources: Sequence[Path]) -> dict:
    shared = {key: value for key, value in shard.recipe.items() if key != "slides"}
    upstream = [[source.name, _source(source, slide)] for source in sources]
    return {**shared, "slide": shard.recipe["slides"].get(slide.slide), "upstream": upstream}


def _source(source: Path, slide: Slide | None) -> str:
    """What identifies an upstream result: the recipe of a unit, the hash of a plain file."""
    if source.is_file():
        return hashlib.sha256(source.read_bytes()).hexdigest()
    if (source / "manifest.json").is_file():
        return _standing(manifest(source))
    if slide is None or not (source / slide.slide / "manifest.json").is_file():
        raise FileNotFoundError(f"{source} holds no result to build on; run the stage before")
    return _standing(manifest(source / slide.slide))


def _standing(found: dict) -> str:
    """A unit as its successors see it: a verdict that storage caused may go, recipe unchanged."""
    return found["recipe"] if found["verdict"].startswith("ok") else digest(found["verdict"])


def _carried(slide: Slide, sources: Sequence[Path]) -> dict | None:
    """The verdict that a slide brings from upstream: its quarantine, or that it has no tile."""
    empty = None
    for source in sources:
        file = source / slide.slide / "manifest.json"
        if file.is_file():
            found = manifest(file.parent)
            if not found["verdict"].startswith("ok"):
                return found
            if found["verdict"] == "ok_empty":
                empty = found
    return empty


def _make(
    folder: Path, made_from: dict, work: Callable[[Path], dict | None], carried: dict | None
) -> dict:
    """Make the unit `folder` unless it stands; what the index says of it."""
    recipe = digest(made_from)
    try:
        known = manifest(folder)
        if known["recipe"] == recipe and not is_transient(known["verdict"]):
            return {"verdict": known["verdict"], "recipe": recipe}
    except (OSError, ValueError):
        pass  # absent or torn: make it
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    draft = folder.with_name(
        f".{folder.name}.{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.draft"
    )
    draft.mkdir()
    try:
        found = _work(draft, work, carried)
        found |= {"recipe": recipe, "made_from": made_from, "files": _files(draft)}
        write_json(draft / "manifest.json", found)
        _replace(folder, draft, recipe)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {"verdict": found["verdict"], "recipe": recipe}


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


def checksum(file: Path) -> dict:
    """SHA-256 and size of a file, as manifests carry them."""
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": sha256, "bytes": file.stat().st_size}


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


def _sweep(folder: Path) -> None:
    """Remove the drafts that a killed job of this host left of `folder`."""
    host = socket.gethostname()
    for leftover in folder.parent.glob(f".{folder.name}.{host}-*"):
        owner = leftover.name.removeprefix(f".{folder.name}.{host}-").split("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(leftover, ignore_errors=True)


def _write_index(index: Path, shard: Shard, units: dict[str, dict]) -> None:
    write_json(
        index,
        {
            "rule": shard.recipe["rule"],
            "shard": shard.name,
            "recipe": shard.recipe,
            "units": dict(sorted(units.items())),
        },
    )


def write_json(file: Path, value: dict) -> None:
    """Write canonical JSON, atomically and onto the disk."""
    draft = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    file.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("w") as stream:
        stream.write(canon(value) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(draft, file)
