"""What a study was made with: versions, weights, and what its jobs cost and where they ran."""

from collections import defaultdict
from collections.abc import Iterable

MODEL = "model.safetensors"


def list_versions(recipes: Iterable[dict]) -> dict[str, str]:
    """Library -> its release, from the recipes of units; several where they differ."""
    found = defaultdict(set)
    for recipe in recipes:
        for library, release in recipe["versions"].items():
            found[library].add(release)
    return {library: ", ".join(sorted(found[library])) for library in sorted(found)}


def list_weights(networks: Iterable[tuple[str, dict]]) -> list[dict[str, str]]:
    """Names of networks and manifests of their units as rows: network, start, trained; each once.

    `start` is what the weights were at first: random, a published name, or the hash of the file.
    `trained` is the hash of what training made of them, empty for a network that is used as it is.
    """
    rows = []
    for name, unit in networks:
        row = {
            "network": name,
            "start": unit["made_from"]["made_of"].get("checkpoint", ""),
            "trained": unit["files"].get(MODEL, {}).get("sha256", ""),
        }
        if row not in rows:
            rows.append(row)
    return rows


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


def _names(found: Iterable[str | None]) -> str:
    return ", ".join(sorted(set(filter(None, found))))
