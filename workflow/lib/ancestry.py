"""What a result was made from, as the manifests say it, back to the first models and tables.

A manifest names its sources by folder or file, and by what identified them at the time: the recipe
of a unit, the hash of a file (units.identify). Here these names are looked up again.
"""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from workflow.lib.recipe import digest
from workflow.lib.units import identify, manifest


@dataclass(frozen=True)
class Model:
    """A unit that was made of many slides: a classifier, clusters, a decoder, a probe.

    name        as people find it below the results folder, such as classifiers/fold0
    fold        of its name; None where that has none
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


class Ancestry:
    """Looks up what the units below `results` were made from."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.places: dict[str, list[Path]] = {}  # name -> files and folders of that name
        for folder, folders, files in os.walk(results):
            self.places.setdefault(Path(folder).name, []).append(Path(folder))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if "manifest.json" in files:
                folders.clear()
                continue
            for name in files:
                self.places.setdefault(name, []).append(Path(folder, name))
        self.models = cache(self._models)
        self.sources = cache(self._sources)
        self._identify = cache(identify)
        self._together = cache(self._digest)

    def name(self, unit: Path) -> str:
        """A unit as people find it below the results folder."""
        return unit.relative_to(self.results).as_posix()

    def model(self, unit: Path) -> Model:
        """What a unit that is a model says of itself."""
        found = manifest(unit)
        facts, made_of = found["facts"], found["made_from"]["slides"]
        return Model(
            name=self.name(unit),
            fold=fold_of(unit),
            trained_on=frozenset(facts.get("trained_on", made_of)),
            chosen_on=frozenset(facts.get("chosen_on", ())),
            recorded="trained_on" in facts,
            everywhere=facts.get("fit_on") == "all",
        )

    def lost(self, unit: Path) -> list[str]:
        """Names of what `unit` was made from and what is not there, or not the same, any more."""
        return self.sources(unit)[1]

    def _models(self, unit: Path) -> frozenset[Path]:
        """The models behind `unit`, itself included where it is one."""
        found = {unit} if "slides" in manifest(unit)["made_from"] else set()
        return frozenset(found.union(*(self.models(source) for source in self.sources(unit)[0])))

    def _sources(self, unit: Path) -> tuple[list[Path], list[str]]:
        """The units that `unit` was made from, and the names of sources that are not found."""
        made_from = manifest(unit)["made_from"]
        slides = tuple(made_from.get("slides", (unit.name,)))
        units: list[Path] = []
        lost = []
        for name, known in made_from.get("upstream", ()):
            found = self._look_up(name, known, slides, single="slides" not in made_from)
            if found is None:
                lost.append(name)
            else:
                units += found
        return units, lost

    def _look_up(
        self, name: str, known: str, slides: tuple[str, ...], *, single: bool
    ) -> list[Path] | None:
        """The units that are what `name` was; none of them for a file; None if it is not found."""
        for place in self.places.get(name, ()):
            if place.is_file() or (place / "manifest.json").is_file():
                if self._identify(place, None) == known:
                    return [] if place.is_file() else [place]
            elif (self._standing(place, *slides) if single else self._together(place, slides)) == (
                known
            ):
                return [place / slide for slide in slides]
        return None

    def _digest(self, stage: Path, slides: tuple[str, ...]) -> str | None:
        """What identifies the units of `slides` in a stage together (shard.commit)."""
        units = {slide: self._standing(stage, slide) for slide in slides}
        return None if None in units.values() else digest(units)

    def _standing(self, stage: Path, slide: str) -> str | None:
        there = (stage / slide / "manifest.json").is_file()
        return self._identify(stage, slide) if there else None


def fold_of(folder: Path) -> int | None:
    """The fold that a path names: 2 for decoders/negev/fold2, None for heatmaps/negev."""
    for part in reversed(folder.parts):
        number = part.removeprefix("fold")
        if part != number and number.isdecimal():
            return int(number)
    return None
