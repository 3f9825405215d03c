"""Write config/README.md from the schemas and the defaults, so that it cannot lag behind them.

python -m workflow.tools.write_config_readme
"""

from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
INTRODUCTION = """\
# Config

<!-- Written by `make docs` from workflow/schemas and config/config.yaml; edit those. -->

A study is a slide sheet and a config. `config.yaml` holds every parameter once, with its unit and
the reason for its value, for the demo cohort. A study of your own is a second file that holds only
what differs:

```yaml
study: mine
slides: my/slides.tsv
labels: {classes: [normal, tumour], negative: normal}
tile_slide: {mpp: 0.5, tile_px: 224, stride_px: 224}
```

Run it with `snakemake --cores 4 --configfile my/study.yaml`. A list replaces the list in
`config.yaml`; sections are merged key by key. The whole config and every row of the sheet are
checked before anything runs, and everything that is wrong is listed at once.

Ready-made: """


def readme(root: Path) -> str:
    """The text of config/README.md for the schemas and defaults under `root`."""
    config_schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text())
    sheet_schema = yaml.safe_load((root / "workflow/schemas/slides.schema.yaml").read_text())
    defaults = yaml.safe_load((root / "config/config.yaml").read_text())
    studies = sorted(p.name for p in (root / "config").glob("*.yaml") if p.stem != "config")
    lines = [INTRODUCTION + ", ".join(f"`{name}`" for name in studies) + ".", ""]
    lines += ["## Settings", "", *_section(config_schema, config_schema, defaults, "")]
    lines += ["## Slide sheet", "", sheet_schema["description"].strip(), ""]
    lines += ["| column | required | values | meaning |", "|---|---|---|---|"]
    for name, column in sheet_schema["properties"].items():
        required = "yes" if name in sheet_schema["required"] else ""
        lines.append(_row(f"`{name}`", required, _values(column), column["description"]))
    return "\n".join(lines) + "\n"


def _section(schema: dict, section: dict, defaults: dict, prefix: str) -> Iterator[str]:
    """A table of the keys of one section, then its sections one after the other."""
    keys = {name: _resolve(schema, key) for name, key in section["properties"].items()}
    plain = {name: key for name, key in keys.items() if key["type"] != "object"}
    if plain:
        yield from ("| key | default | values | meaning |", "|---|---|---|---|")
        for name, key in plain.items():
            shown = f"`{_shown(defaults[name])}`"
            yield _row(f"`{prefix}{name}`", shown, _values(key), key["description"])
        yield ""
    for name, key in keys.items():
        if key["type"] == "object":
            if prefix:
                yield from (f"#### {prefix}{name}", "", key["description"].strip(), "")
            else:
                yield from (f"### {name}", "", key["description"].strip(), "")
            inner = key if "properties" in key else {**key, "properties": {}}
            yield from _section(schema, inner, defaults[name], f"{prefix}{name}.")


def _resolve(schema: dict, key: dict) -> dict:
    """The key with what its $ref names."""
    if "$ref" not in key:
        return key
    return schema["$defs"][key["$ref"].removeprefix("#/$defs/")] | key


def _values(key: dict) -> str:
    """What may be written: words, or a type with its range."""
    if "enum" in key:
        return ", ".join(f"`{_shown(value)}`" for value in key["enum"])
    if key["type"] == "array":
        items = key["items"]
        plain = items["type"] == "string" and "enum" not in items
        return "list of text" if plain else f"list of {_values(items)}"
    if key["type"] == "boolean":
        return "`true`, `false`"
    kinds = {"integer": "whole number", "number": "number", "string": "text", "null": "`null`"}
    types = key["type"] if isinstance(key["type"], list) else [key["type"]]
    words = " or ".join(kinds[kind] for kind in types)
    low = _number(key["minimum"]) if "minimum" in key else None
    high = _number(key["maximum"]) if "maximum" in key else None
    if "exclusiveMinimum" in key:
        low = f"above {_number(key['exclusiveMinimum'])}"
    if "exclusiveMaximum" in key:
        high = f"below {_number(key['exclusiveMaximum'])}"
    return f"{words}, {low} to {high}" if low and high else words


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else str(value)


def _shown(value: object) -> str:
    """A value as YAML would have it, on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).strip()
    return text.removesuffix("...").strip()


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.strip().replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    (ROOT / "config" / "README.md").write_text(readme(ROOT))
