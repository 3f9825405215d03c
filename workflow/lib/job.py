"""Run one stage: from Snakemake, or alone from the command line with the same names.

    python -m workflow.scripts.tile_slide --configfile config/config.yaml \
        --sheet config/slides.tsv --checks results/demo/checks/all.json ... --tile-px 224

A stage is a function. Its Path parameters are the rule's inputs and outputs, its keyword-only
parameters are the keys of the config section with the rule's name.
"""

import argparse
import inspect
import json
import logging
import os
import resource
import socket
import sys
import time
import types
import typing
from collections.abc import Callable
from pathlib import Path

import yaml

from workflow.lib.explanation import sidecar
from workflow.lib.identity import Identities
from workflow.lib.recipe import ROOT, recipe, shared_settings
from workflow.lib.shard import Shard
from workflow.lib.sheet import Slide, read_slides
from workflow.lib.units import checksum, write_json

log = logging.getLogger("workflow")

# What only changes speed or place: never part of a recipe.
EXECUTION = ("device", "batch", "check_timeout_s", "check_memory_mb")


def run(stage: Callable[..., None], snakemake: object | None = None) -> None:
    """Call `stage` with what Snakemake or the command line gives, and log to both."""
    if snakemake is None:
        _call(stage, _from_command_line(stage), log_file=None)
    else:
        _call(stage, _from_snakemake(stage, snakemake), log_file=Path(snakemake.log[0]))
        _sign(snakemake)


class _Sentences(logging.Formatter):
    """One sentence a line for people; tracebacks go to the log file only."""

    def __init__(self, job: str) -> None:
        super().__init__()
        self.job = job

    def format(self, record: logging.LogRecord) -> str:
        return f"{self.job}: {record.getMessage()}"


def _call(stage: Callable[..., None], arguments: dict, log_file: Path | None) -> None:
    started, name = time.monotonic(), stage.__name__
    key = log_file.with_suffix("").name if log_file else ""
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    handlers[0].setFormatter(_Sentences(f"{name} {key}".strip()))
    if log_file:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, mode="w"))
        handlers[1].setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for handler in handlers:
        handler.addFilter(lambda record: record.name.startswith(("workflow", "__main__")))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(True)
    try:
        stage(**arguments)
    except Exception as error:
        log.exception("Stopped: %s", error)
        if log_file:
            log.error("The whole story is in %s", log_file)
        sys.exit(1)
    finally:
        if log_file:
            _write_usage(log_file, name, key, time.monotonic() - started, arguments)


def _write_usage(log_file: Path, rule: str, key: str, seconds: float, arguments: dict) -> None:
    """What the job cost and where, for the report."""
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    device = arguments.get("device")
    if device:
        from workflow.lib.devices import choose  # imports torch, which such a job has anyway

        device = choose(device)
    record = {
        "rule": rule,
        "key": key,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(sum(used.ru_utime + used.ru_stime for used in usage), 2),
        "max_rss_mb": round(max(_peak_kb(), usage[1].ru_maxrss) / 1024),
        "threads": arguments.get("threads", 1),
        "host": socket.gethostname(),
        "device": device,
    }
    log_file.with_suffix(".run.json").write_text(json.dumps(record) + "\n")


def _peak_kb() -> int:
    """Peak memory of this process; ru_maxrss would begin with that of its parent, Snakemake."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _sign(snakemake: object) -> None:
    """Write the recipe and checksum of plain outputs (tables, the page) into their sidecars."""
    for output in (Path(file) for file in snakemake.output):
        if output.suffix != ".json":
            record = {
                "recipe": json.loads(snakemake.params.recipe),
                "files": {output.name: checksum(output)},
            }
            write_json(sidecar(output), record)


def _from_snakemake(stage: Callable[..., None], snakemake: object) -> dict:
    made_from = json.loads(snakemake.params.recipe)
    config = snakemake.config
    given = dict(made_from["settings"])
    for names in (snakemake.input, snakemake.output, snakemake.wildcards):
        given |= {key: _plain(value) for key, value in names.items()}
    sheet = read_slides(Path(config["slides"]), labelled=bool(config["labels"]["classes"]))
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


def _from_command_line(stage: Callable[..., None]) -> dict:
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
    defaults |= (shared_settings(config) | config["compute"]) if config else {}
    defaults |= config.get(stage.__name__, {})
    given = defaults | {key: value for key, value in values.items() if value is not None}
    if "shard" in parameters:
        labelled = bool(config.get("labels", {}).get("classes"))
        slides = read_slides(sheet, labelled=labelled) if sheet else []
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


def _config(study: Path) -> dict:
    """The config of a study over the defaults, as Snakemake merges them."""
    defaults = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    return _merged(defaults, yaml.safe_load(study.read_text()) or {})


def _merged(base: dict, own: dict) -> dict:
    """`base` with the values of `own`, section by section."""
    merged = dict(base)
    for key, value in own.items():
        sections = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merged(base[key], value) if sections else value
    return merged


def _row_facts(slide: Slide, known: Identities) -> dict:
    """What a stage that runs alone can see of a slide: its files by content, and its row."""
    files = {"identity": slide.path, "tissue": slide.tissue, "mask": slide.mask}
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
        elif parameter.default is parameter.empty:
            raise TypeError(f"{stage.__name__} needs {name}: --{name.replace('_', '-')}")
    return bound


def _plain(value: object) -> object:
    return value if isinstance(value, str) else list(value) if _is_list(value) else value


def _is_list(value: object) -> bool:
    return hasattr(value, "__iter__") and not isinstance(value, str | dict)


def _typed(value: object, annotation: object) -> object:
    if typing.get_origin(annotation) is list and typing.get_args(annotation) == (Path,):
        return [Path(item) for item in ([value] if isinstance(value, str) else value)]
    if _accepts(annotation, Path) and isinstance(value, str):
        return Path(value)
    if _accepts(annotation, Path) and _is_list(value):  # an input function that found nothing
        return Path(value[0]) if value else None
    if annotation is int and isinstance(value, str):
        return int(value)
    if annotation is float and isinstance(value, int):
        return float(value)
    return value


def _accepts(annotation: object, kind: type) -> bool:
    return annotation is kind or (
        isinstance(annotation, types.UnionType) and kind in typing.get_args(annotation)
    )


def _add_argument(parser: argparse.ArgumentParser, name: str, annotation: object) -> None:
    flag = f"--{name.replace('_', '-')}"
    if typing.get_origin(annotation) is list:
        parser.add_argument(flag, nargs="*", type=typing.get_args(annotation)[0])
    elif annotation is bool:
        parser.add_argument(flag, action=argparse.BooleanOptionalAction)
    elif annotation is dict:
        parser.add_argument(flag, type=json.loads, help="JSON")
    else:
        kinds = [kind for kind in (Path, int, float, str) if _accepts(annotation, kind)]
        parser.add_argument(flag, type=kinds[0] if kinds else str)
