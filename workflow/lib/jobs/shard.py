"""Shards: a job visits a bag of slides and commits each result on its own.

Each result is a unit (lib/jobs/units.py). The *index* of a shard, one small JSON file, lists
the units of its slides and is all that Snakemake sees.
"""

import errno
import hashlib
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from workflow.lib.cohort.sheet import Slide
from workflow.lib.jobs.drafts import sweep
from workflow.lib.jobs.recipe import digest
from workflow.lib.jobs.units import carried_verdict, identify, make_unit, write_json

log = logging.getLogger(__name__)

Upstream = Sequence[Path] | Callable[[Slide], Sequence[Path]]


@dataclass(frozen=True)
class Shard:
    """The slides of one job and the recipe that Snakemake recorded for it.

    `seconds` is what each unit took that this job made; what it found made is not in it.
    """

    name: str
    slides: Sequence[Slide]
    recipe: dict
    seconds: dict[str, float] = field(default_factory=dict, compare=False)

    def facts(self, slides: Iterable[str], read: Collection[str] | None = None) -> dict:
        """What the recipe knows of each of `slides`; None of one whose own files are not read.

        read: the slides whose own files are read; None where those of all are.
        """
        known = self.recipe["slides"]
        return {s: known.get(s) if read is None or s in read else None for s in sorted(slides)}

    def timed(self, unit: str, work: Callable[..., dict | None]) -> Callable[..., dict | None]:
        """`work`, which notes how long it took when it is done."""

        def work_and_note(*given: object) -> dict | None:
            started = time.perf_counter()
            facts = work(*given)
            self.seconds[unit] = time.perf_counter() - started
            return facts

        return work_and_note


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
            listed[slide.slide] = make_unit(
                index.parent / slide.slide,
                made_from,
                shard.timed(slide.slide, lambda folder, slide=slide: work(slide, folder)),
                carried_verdict(slide.slide, sources),
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
    read: Collection[str] | None = None,
) -> None:
    """Make one unit that is not a slide's (a model, a montage): the folder `index` without .json.

    A stage folder in `upstream` stands for the units of the shard's slides (of those in `only`).
    What the recipe knows of a slide counts where it is in `read`, if that is given.
    """
    slides = [slide for slide in shard.slides if only is None or slide.slide in only]
    sources = []
    for source in upstream:
        if source.is_file() or (source / "manifest.json").is_file():
            sources.append([source.name, identify(source, None)])
        else:
            units = {slide.slide: identify(source, slide.slide) for slide in slides}
            sources.append([source.name, digest(units)])
    slides_read = shard.facts((slide.slide for slide in slides), read)
    made_from = {**shard.recipe, "slides": slides_read, "upstream": sources}
    record = make_unit(index.with_suffix(""), made_from, shard.timed(index.stem, work), None)
    _write_index(index, shard, {index.stem: record})


def _made_from(shard: Shard, slide: Slide, sources: Sequence[Path]) -> dict:
    shared = {key: value for key, value in shard.recipe.items() if key != "slides"}
    upstream = [[source.name, identify(source, slide.slide)] for source in sources]
    return {**shared, "slide": shard.recipe["slides"].get(slide.slide), "upstream": upstream}


def _write_index(index: Path, shard: Shard, units: dict[str, dict]) -> None:
    sweep(index.parent)
    write_json(
        index,
        {
            "rule": shard.recipe["rule"],
            "shard": shard.name,
            "recipe": shard.recipe,
            "units": dict(sorted(units.items())),
        },
    )
