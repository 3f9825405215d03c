"""The arguments of a stage: from Snakemake, or from the command line with the same names."""

import argparse
import inspect
import json
import os
import types
import typing
from collections.abc import Callable
from pathlib import Path

import yaml

from workflow.lib.cohort.permutation import permute_labels
from workflow.lib.cohort.sheet import Slide, read_slides
from workflow.lib.jobs.configuration import merge
from workflow.lib.jobs.identity import Identities
from workflow.lib.jobs.recipe import ROOT, recipe, shared_settings
from workflow.lib.jobs.shard import Shard

# What only changes speed or place: never part of a recipe.
EXECUTION = ("device", "batch", "check_timeout_s", "check_memory_mb", "scratch")


def from_snakemake(stage: Callable[..., None], snakemake: object) -> dict:
    made_from = json.loads(snakemake.params.recipe)
    config = snakemake.config
    given = dict(made_from["settings"])
    for names in (snakemake.input, snakemake.output, snakemake.wildcards):
        given |= {key: _plain(value) for key, value in names.items()}
    sheet = _slides(Path(config["slides"]), config)
    slides = [slide for slide in sheet if slide.slide in made_from["slides"]]
    if missing := set(made_from["slides"]) - {slide.slide for slide in slides}:
        raise ValueError(f"The sheet changed during the run: {sorted(missing)} left it; run again")
    given["shard"] = Shard(given.get("shard", "all"), slides, made_from)
    given["threads"] = snakemake.threads
    given["weights"] = config["weights"]
    given |= {key: config["compute"][key] for key in EXECUTION}
    work = Path(snakemake.output[0])
    given["work"] = work.with_name(f".{work.stem}.work")
    return _bind(stage, given, strict=made_from["settings"])


def from_command_line(stage: Callable[..., None]) -> dict:
    parser = argparse.ArgumentParser(
        prog=f"python -m workflow.scripts.{stage.__name__}", description=inspect.getdoc(stage)
    )
    parser.add_argument(
        "--configfile",
        type=Path,
        help="a study's config; settings not given here come from it, or from config/config.yaml",
    )
    parser.add_argument("--sheet", type=Path, help="the slide sheet")
    parser.add_argument("--only", nargs="+", help="slide ids; without it the whole sheet")
    parameters = inspect.signature(stage).parameters
    for name, parameter in parameters.items():
        if name != "shard":
            _add_argument(parser, name, parameter.annotation)
    values = vars(parser.parse_args())
    configfile, sheet, only = (values.pop(key) for key in ("configfile", "sheet", "only"))
    config = _config(configfile) if configfile else {}
    defaults = {"weights": config.get("weights"), "threads": os.cpu_count(), "fold": 0}
    defaults["scratch"] = None
    defaults |= (shared_settings(config) | config["compute"]) if config else {}
    defaults |= config.get(stage.__name__, {})
    given = defaults | {key: value for key, value in values.items() if value is not None}
    if "shard" in parameters:
        slides = _slides(sheet, config) if sheet else []
        if unknown := set(only or ()) - {slide.slide for slide in slides}:
            parser.error(f"--only: no slide of the sheet is called {', '.join(sorted(unknown))}")
        slides = [slide for slide in slides if not only or slide.slide in only]
        remembered = Path("results", config["study"], "identities.json") if config else os.devnull
        known = Identities(Path(remembered))
        settings = {
            key: given.get(key)
            for key, parameter in parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
            and key not in (*EXECUTION, "shard", "threads", "weights", "work", "fold", "method")
        }
        facts = {slide.slide: _row_facts(slide, known) for slide in slides}
        given["shard"] = Shard("all", slides, recipe(stage.__name__, settings, facts))
    return _bind(stage, given, strict={})


def _slides(sheet: Path, config: dict) -> list[Slide]:
    """The rows of a sheet, with the labels that the study gives them."""
    labels = config.get("labels", {})
    slides = read_slides(sheet, labelled=bool(labels.get("classes")))
    return permute_labels(slides, seed=config["seed"]) if labels.get("permute") else slides


def _config(study: Path) -> dict:
    """The config of a study over the defaults, as Snakemake merges them."""
    defaults = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    return merge(defaults, yaml.safe_load(study.read_text()) or {})


def _row_facts(slide: Slide, known: Identities) -> dict:
    """What a stage that runs alone can see of a slide: its files by content, and its row."""
    files = {"identity": slide.path, "tissue": slide.tissue}
    files |= {"mask": slide.mask, "points": slide.points}
    facts = {name: known.of(file) for name, file in files.items() if file}
    row = {"mpp": slide.mpp, "sha256": slide.sha256, "label": slide.label}
    return facts | {name: value for name, value in row.items() if value is not None}


def _bind(stage: Callable[..., None], given: dict, *, strict: dict) -> dict:
    """The arguments that `stage` asks for; a setting that it does not know is an error."""
    parameters = inspect.signature(stage).parameters
    if unknown := set(strict) - set(parameters):
        raise TypeError(f"{stage.__name__} has no setting {sorted(unknown)}")
    bound = {}
    for name, parameter in parameters.items():
        if name in given:
            bound[name] = _typed(given[name], parameter.annotation)
        elif parameter.kind is not parameter.KEYWORD_ONLY and _accepts(
            parameter.annotation, types.NoneType
        ):
            bound[name] = None  # an input that is not always there
        elif parameter.default is parameter.empty:
            raise TypeError(f"{stage.__name__} needs {name}: --{name.replace('_', '-')}")
    return bound


def _plain(value: object) -> object:
    return value if isinstance(value, str) else list(value) if _is_list(value) else value


def _is_list(value: object) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str | dict)


def _typed(value: object, annotation: object) -> object:
    annotation = _without_none(annotation)
    if typing.get_origin(annotation) is list and typing.get_args(annotation) == (Path,):
        return [Path(item) for item in ([value] if isinstance(value, str) else value)]
    if annotation is Path and isinstance(value, str):
        return Path(value)
    if annotation is Path and _is_list(value):  # an input function that found nothing
        return Path(value[0]) if value else None
    if annotation is int and isinstance(value, str):
        return int(value)
    if annotation is float and isinstance(value, int):
        return float(value)
    return value


def _without_none(annotation: object) -> object:
    """`int` for `int | None`; other unions stay."""
    if not isinstance(annotation, types.UnionType):
        return annotation
    kinds = [kind for kind in typing.get_args(annotation) if kind is not types.NoneType]
    return kinds[0] if len(kinds) == 1 else annotation


def _accepts(annotation: object, kind: type) -> bool:
    return annotation is kind or (
        isinstance(annotation, types.UnionType) and kind in typing.get_args(annotation)
    )


def _add_argument(parser: argparse.ArgumentParser, name: str, annotation: object) -> None:
    flag, annotation = f"--{name.replace('_', '-')}", _without_none(annotation)
    if typing.get_origin(annotation) is list:
        parser.add_argument(flag, nargs="*", type=typing.get_args(annotation)[0])
    elif annotation is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction)
    elif annotation is dict:
        parser.add_argument(flag, type=json.loads, help="JSON")
    else:
        kinds = [kind for kind in (Path, int, float, str) if _accepts(annotation, kind)]
        parser.add_argument(flag, type=kinds[0] if kinds else str)
