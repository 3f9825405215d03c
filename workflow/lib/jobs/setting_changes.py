"""What differs between the recipes of two studies: settings, code, releases, weights."""

from collections import defaultdict
from collections.abc import Mapping

from workflow.lib.jobs.explanation import changes

COMPARED = ("settings", "code", "versions", "made_of")  # slides are compared by the sheets
PAGE = "write_report"  # its recipe repeats the whole config


def differing(a: Mapping[str, dict], b: Mapping[str, dict]) -> list[dict]:
    """Rows setting, a, b, rules: what differs in recipes (`a`, `b`: place -> recipe).

    Places are folders or tables of results; those that only one study has are not compared. A
    setting that several rules read in the same two values is one row, with these `rules`.
    """
    found: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for place in sorted(set(a) & set(b)):
        rule = a[place]["rule"]
        if rule == PAGE:
            continue
        old, new = ({key: r[place].get(key) for key in COMPARED} for r in (a, b))
        for key, before, after in changes(old, new):
            name = key.removeprefix("settings.")
            own = name == key  # of this rule alone: its code, weights, a library
            name = f"{rule}.{name}" if own and not key.startswith("versions.") else name
            found[name, _text(before), _text(after)].add(rule)
    return [
        {"setting": name, "a": before, "b": after, "rules": ", ".join(sorted(rules))}
        for (name, before, after), rules in sorted(found.items())
    ]


def _text(value: object) -> str:
    return "absent" if value is None else str(value)
