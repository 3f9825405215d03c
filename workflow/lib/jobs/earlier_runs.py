"""What earlier runs in this folder took and left: results/<study> and logs/<study>."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from workflow.lib.jobs.explanation import sidecar
from workflow.lib.jobs.forecasts import Kept, Taken

FOLD = re.compile(r"fold\d+")
SAMPLE = 8  # jobs of a rule whose files are counted: a large study has ten thousands


class EarlierRun:
    """A study that was run, or is at work; it may be unfinished, and parts of it torn."""

    def __init__(self, results: Path, logs: Path) -> None:
        self.results, self.logs = results, logs / results.name

    @cached_property
    def tiled(self) -> dict[str, dict]:
        """Slide -> manifest of its tiles, of those that have been tiled or set aside."""
        folders = sorted(file.parent for file in self.results.glob("tiles/*/manifest.json"))
        read = {folder.name: _read(folder / "manifest.json") for folder in folders}
        return {slide: unit for slide, unit in read.items() if unit}

    @cached_property
    def shards(self) -> dict[str, list[str]]:
        """Shard -> its slides."""
        indices = {file.stem: _read(file) for file in sorted(self.results.glob("checks/*.json"))}
        return {shard: list(index["units"]) for shard, index in indices.items() if index}

    @cached_property
    def slides(self) -> list[str]:
        """All slides, sorted."""
        return sorted({slide for slides in self.shards.values() for slide in slides})

    def taken(self, rule: str, method: str) -> list[Taken]:
        """What each job of a rule took, with a method of `method_of`, of those that ended."""
        found = []
        for file in sorted((self.logs / rule).glob("*.run.json")):
            key = file.name.removesuffix(".run.json")
            ending = [shard for shard in self.shards if f".{key}".endswith(f".{shard}")]
            shard = max(ending, key=len, default="")
            job = _read(file) if method_of(key, shard) == method else None
            if job:
                found.append(
                    Taken(
                        self.shards[shard] if shard else self.slides,
                        job["seconds"],
                        job["cpu_seconds"],
                        job["threads"],
                        sum(job.get("unit_seconds", {}).values()),
                        job["max_rss_mb"],
                        job["device"],
                    )
                )
        return found

    def kept(self, rule: str, outputs: Sequence[Path]) -> tuple[list[Kept], Mapping]:
        """What jobs of a rule left, a sample of them, and the settings that one was made with.

        outputs: of one job of the rule, relative to the results of whichever study.
        """
        found, settings = [], {}
        folder = FOLD.sub("fold*", outputs[0].parent.as_posix())
        indices = [i for i in sorted(self.results.glob(f"{folder}/*.json")) if i.name[0] != "."]
        if outputs[0].suffix != ".json":
            indices = [sidecar(self.results / outputs[0])]
        for index in indices[:: max(1, len(indices) // SAMPLE)]:
            record = _read(index)
            if not record or record["recipe"]["rule"] != rule:
                continue
            slides, settings = list(record["recipe"]["slides"]), record["recipe"]["settings"]
            if "units" in record:
                sizes = list(_sizes(index.parent, record["units"]))
                shard = set(record["units"]) <= set(slides)
                found.append(Kept(slides, shard, sum(sizes), len(sizes) + 1))
            else:
                files = [file for file in map(self.results.joinpath, outputs) if file.is_file()]
                found.append(
                    Kept(slides, False, sum(f.stat().st_size for f in files), 2 * len(files))
                )
        return found, settings


def method_of(key: str, shard: str) -> str:
    """The method in the name of a job's log: what is neither its shard, if any, nor its fold.

    >>> method_of("cam.fold0.shard-001-of-002", "shard-001-of-002")
    'cam'
    """
    parts = key.removesuffix(shard).split(".") if shard else key.split(".")
    return ".".join(part for part in parts if part not in ("", "all") and not FOLD.fullmatch(part))


def _sizes(folder: Path, units: Mapping) -> Iterator[int]:
    """Bytes of the files of units, manifests included."""
    for name in units:
        if unit := _read(folder / name / "manifest.json"):
            yield (folder / name / "manifest.json").stat().st_size
            yield from (file["bytes"] for file in unit["files"].values())


def _read(file: Path) -> dict | None:
    """A record; None where it is absent, or a killed job left it torn."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None
