"""What a result was made from, as the manifests say it, back to the first models and tables.

A manifest names its sources by folder or file, and by what identified them at the time: the recipe
of a unit, the hash of a file (units.identify). Here these names are looked up again.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workflow.lib.jobs.recipe import digest
from workflow.lib.jobs.units import identify, manifest, standing


@dataclass(frozen=True)
class Model:
    """A unit that was made of many slides: a classifier, clusters, a decoder, a probe.

    name        as people find it below the results folder, such as classifiers/fold0
    fold        that it is of; None for a model of all folds
    trained_on  slides that it learnt from; all that it was made of where it does not say
    chosen_on   slides that an epoch or a value was chosen on
    recorded    whether it says which these are
    everywhere  whether it was meant to be fitted on the slides of every split (cluster.fit_on)
    """

    name: str
    fold: int | None
    trained_on: frozenset[str]
    chosen_on: frozenset[str]
    recorded: bool
    everywhere: bool


@dataclass(frozen=True, slots=True)
class _Unit:
    """What is kept of a manifest; `slides` is None for a unit that is a slide's."""

    usable: bool
    identity: str
    facts: Mapping[str, object]
    upstream: Sequence[tuple[str, str]]
    slides: tuple[str, ...] | None


class Ancestry:
    """Looks up what the units below `results` were made from.

    Results stay as they are meanwhile: each manifest is read once, each file hashed once, and what
    is behind a unit worked out once.
    """

    def __init__(self, results: Path) -> None:
        self.results = results
        self.places: dict[str, list[Path]] = {}  # name -> files, units and stages of that name
        self._units: set[Path] = set()
        self._files: set[Path] = set()
        for folder, folders, files in os.walk(results):
            here = Path(folder)
            self.places.setdefault(here.name, []).append(here)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if "manifest.json" in files:
                self._units.add(here)
                folders.clear()
                continue
            for name in files:
                self.places.setdefault(name, []).append(here / name)
                self._files.add(here / name)
        self._known: dict[Path, frozenset[Path]] = {}  # unit -> models behind it
        self.model = cache(self._model)
        self.sources = cache(self._sources)
        self._read = cache(self._condensed)
        self._hash = cache(identify)
        self._together = cache(self._digest)

    def name(self, unit: Path) -> str:
        """A unit as people find it below the results folder."""
        return unit.relative_to(self.results).as_posix()

    def fold(self, unit: Path) -> int | None:
        """The fold of a unit, by the name of a model or of a stage, or as it says (a heatmap)."""
        found = self._read(unit)
        named = unit.parent if found.slides is None else unit  # a slide may be called fold1
        fold = fold_of(named.relative_to(self.results))
        return found.facts.get("fold") if fold is None else fold

    def listed(self, indices: Iterable[Path]) -> list[Path]:
        """The units that indices list and that are not quarantined, sorted."""
        listed = {
            index.parent / name
            for index in indices
            for name in json.loads(index.read_text())["units"]
        }
        return sorted(unit for unit in listed if self._read(unit).usable)

    def behind(self, units: Iterable[Path]) -> set[Path]:
        """`units`, all that they were made from, what that was made from, and so on."""
        found = set(units)
        waiting = list(found)
        while waiting:
            new = set(self.sources(waiting.pop())[0]) - found
            found |= new
            waiting += new
        return found

    def models(self, unit: Path) -> frozenset[Path]:
        """The models behind `unit`, itself included where it is one."""
        waiting = [] if unit in self._known else [unit]
        while waiting:
            last = waiting[-1]
            sources = self.sources(last)[0]
            if last not in self._known:  # what it was made from comes first
                self._known[last] = frozenset()  # so that a circle, if one was forged, ends
                waiting += [source for source in sources if source not in self._known]
            else:
                waiting.pop()
                itself = () if self._read(last).slides is None else (last,)
                behind = (self._known[source] for source in sources)
                self._known[last] = frozenset(itself).union(*behind)
        return self._known[unit]

    def lost(self, unit: Path) -> list[str]:
        """Names of what `unit` was made from and what is not there, or not the same, any more."""
        return self.sources(unit)[1]

    def _model(self, unit: Path) -> Model:
        """What a unit that is a model says of itself."""
        found = self._read(unit)
        return Model(
            name=self.name(unit),
            fold=self.fold(unit),
            trained_on=frozenset(found.facts.get("trained_on", found.slides)),
            chosen_on=frozenset(found.facts.get("chosen_on", ())),
            recorded="trained_on" in found.facts,
            everywhere=found.facts.get("fit_on") == "all",
        )

    def _condensed(self, unit: Path) -> _Unit:
        found = manifest(unit)
        made_from = found["made_from"]
        return _Unit(
            usable=found["verdict"].startswith("ok"),
            identity=standing(found),
            facts=found["facts"],
            upstream=made_from.get("upstream", ()),
            slides=tuple(made_from["slides"]) if "slides" in made_from else None,
        )

    def _sources(self, unit: Path) -> tuple[list[Path], list[str]]:
        """The units that `unit` was made from, and the names of sources that are not found."""
        found = self._read(unit)
        units: list[Path] = []
        lost = []
        for name, known in found.upstream:
            sources = self._look_up(name, known, unit.name, found.slides)
            if sources is None:
                lost.append(name)
            else:
                units += sources
        return units, lost

    def _look_up(
        self, name: str, known: str, slide: str, slides: tuple[str, ...] | None
    ) -> list[Path] | None:
        """The units that are what `name` was; none of them for a file; None if it is not found.

        Of a stage that is the unit of `slide`, or those of `slides` where these are given.
        """
        for place in self.places.get(name, ()):
            if place in self._files:
                if self._hash(place, None) == known:
                    return []
            elif place in self._units:
                if self._read(place).identity == known:
                    return [place]
            elif slides is None:
                if self._standing(place / slide) == known:
                    return [place / slide]
            elif self._together(place, slides) == known:
                return [place / each for each in slides]
        return None

    def _digest(self, stage: Path, slides: tuple[str, ...]) -> str | None:
        """What identifies the units of `slides` in a stage together (shard.commit)."""
        units = {slide: self._standing(stage / slide) for slide in slides}
        return None if None in units.values() else digest(units)

    def _standing(self, unit: Path) -> str | None:
        return self._read(unit).identity if unit in self._units else None


def fold_of(folder: Path) -> int | None:
    """The fold that a path below the results folder names.

    >>> fold_of(Path("decoders/negev/fold2")), fold_of(Path("heatmaps/negev"))
    (2, None)
    """
    for part in reversed(folder.parts):
        number = part.removeprefix("fold")
        if part != number and number.isdecimal():
            return int(number)
    return None
