"""What a study was made with: versions, weights, and what its jobs cost and where they ran."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from workflow.lib.jobs.names import METHODS, UNRELATED, UNSTATED

MODEL = "model.safetensors"
CLASSIFIER = "Classifier"  # how models are called that decoders learn from


def list_versions(units: Iterable[dict]) -> dict[str, str]:
    """Library -> its release, from manifests; several where they differ."""
    found = defaultdict(set)
    for unit in units:
        for library, release in unit["made_from"]["versions"].items():
            found[library].add(release)
    return {library: ", ".join(sorted(found[library])) for library in sorted(found)}


def list_weights(
    features: Iterable[dict], models: Mapping[str, dict], licences: Mapping[str, str]
) -> list[dict[str, str]]:
    """Rows network, start, licence, trained, from manifests: of features, and of models by name.

    `start` is what the weights were at first: random, a published name, or the hash of the file;
    nothing where there were none, and empty for a network that starts from another one.
    `licence` is that of the weights of others that it started from (`licences`: start -> licence).
    `trained` is the hash of what training made of them, empty for an encoder used as it is.
    """
    rows = {}
    for made_from in (unit["made_from"] for unit in features):
        name = f"Encoder {made_from['settings']['encoder']}"
        start = made_from["made_of"]["checkpoint"]
        rows[name, start] = {"network": name, "start": start, "trained": ""}
    for name, unit in models.items():
        start = unit["made_from"]["made_of"].get("checkpoint", "")
        trained = unit["files"][MODEL]["sha256"]
        rows[name, start] = {"network": name, "start": start, "trained": trained}
    return [row | {"licence": _licence(row["start"], licences)} for row in rows.values()]


def list_choices(models: Mapping[str, dict]) -> list[str]:
    """How the epoch that was kept was chosen, from how many pixel masks, and how it was computed.

    From manifests of models named "<kind>, fold <n>"; folds that were made alike are said once. A
    decoder learns from what its fold's classifier saw, so that the masks of that one count too,
    unless it has nothing of a classifier.
    """
    said, alone = {}, {METHODS[method] for method in UNRELATED}
    for name, unit in models.items():
        facts = unit["facts"]
        kind, fold = name.split(", fold")
        start = unit if kind in alone else models.get(f"{CLASSIFIER}, fold{fold}", unit)
        taught = set(start["facts"].get("masks", ()))
        own = set(facts.get("masks", ()))
        used = f"{len(own | taught)} pixel masks used"
        if points := facts.get("points"):
            used = f"{points} points on {len(own)} slides used"
            used += f", and {len(taught)} pixel masks" * bool(taught)
        made = f"{used}; computed in {facts['precision']}"
        said[f"{kind}: {facts['chosen_by']}; {made}."] = None
    return list(said)


def list_warnings(models: Mapping[str, dict]) -> list[str]:
    """What the training of each model warned of, from manifests."""
    return [unit["facts"]["warning"] for unit in models.values() if unit["facts"].get("warning")]


def read_usage(logs: Path) -> list[dict]:
    """What each job cost (`<rule>/<key>.run.json`), without files that a killed job left torn."""
    records = []
    for file in sorted(logs.glob("*/*.run.json")):
        try:
            records.append(json.loads(file.read_text()))
        except ValueError:
            continue
    return records


def sum_usage(records: Iterable[dict]) -> list[dict]:
    """What the jobs of each rule cost together, and where they ran, slowest rule first."""
    rules = defaultdict(list)
    for record in records:
        rules[record["rule"]].append(record)
    table = [
        {
            "rule": rule,
            "jobs": len(jobs),
            "seconds": sum(job["seconds"] for job in jobs),
            "cpu_seconds": sum(job["cpu_seconds"] for job in jobs),
            "max_rss_mb": max(job["max_rss_mb"] for job in jobs),
            "threads": max(job["threads"] for job in jobs),
            "hosts": _names(job["host"] for job in jobs),
            "devices": _names(job["device"] for job in jobs),
        }
        for rule, jobs in rules.items()
    ]
    return sorted(table, key=lambda row: (-row["seconds"], row["rule"]))


def _licence(start: str, licences: Mapping[str, str]) -> str:
    """In words, also where there are no weights of others or where another row tells."""
    told = {"": "as its classifier", "deepcluster": "as its clustering"}
    told |= dict.fromkeys(("random", "nothing"), "none needed: no weights of others")
    return told.get(start) or licences.get(start, UNSTATED)


def _names(found: Iterable[str | None]) -> str:
    return ", ".join(sorted(set(filter(None, found))))
