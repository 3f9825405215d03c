"""Configs for tests: the defaults, the studies, and either with a value changed."""

import copy
import functools
from pathlib import Path

import yaml
from snakemake.utils import update_config

ROOT = Path(__file__).resolve().parents[1]
SCHEMA_FILE = ROOT / "workflow/schemas/config.schema.yaml"


@functools.cache
def load(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def defaults() -> dict:
    return copy.deepcopy(load("config/config.yaml"))


def schema() -> dict:
    return load("workflow/schemas/config.schema.yaml")


def merged(study: str) -> dict:
    """The config of a study as Snakemake merges it."""
    config = defaults()
    update_config(config, copy.deepcopy(load(f"config/{study}.yaml")))
    return config


def edited(**changes) -> dict:
    """The defaults with tile_slide__mpp=... for tile_slide.mpp."""
    config = defaults()
    for path, value in changes.items():
        *sections, key = path.split("__")
        functools.reduce(dict.__getitem__, sections, config)[key] = value
    return config


def cases(name: str) -> list[dict]:
    """What stands in a file of tests/cases/configs."""
    return load(f"tests/cases/configs/{name}.yaml")


def damaged(case: dict) -> dict:
    """The defaults as a case of tests/cases/configs edits them."""
    changes = copy.deepcopy(case.get("edit", {}))
    config = edited(**{path.replace(".", "__"): value for path, value in changes.items()})
    return {key: value for key, value in config.items() if key != case.get("without")}


def keys(section: dict, prefix: str = "") -> dict[str, dict]:
    """Dotted path -> schema of every key, sections included."""
    found = {}
    for name, key in section.get("properties", {}).items():
        if "$ref" in key:
            key = schema()["$defs"][key["$ref"].removeprefix("#/$defs/")] | key
        found[f"{prefix}{name}"] = key
        found |= keys(key, f"{prefix}{name}.")
    return found
