"""The config: what its schema refuses, in sentences that name the key, the value and the fix."""

import difflib
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

LIKE_A_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+")
KINDS = {
    "number": "a number",
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
    "object": "a section with keys",
    "null": "null",
}


def merge(config: Mapping, changes: Mapping) -> dict:
    """`config` with the values of `changes`, section by section, as Snakemake merges files.

    >>> merge({"a": {"b": 1, "c": [1, 2]}}, {"a": {"c": [3]}})
    {'a': {'b': 1, 'c': [3]}}
    """
    merged = dict(config)
    for key, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(config.get(key), Mapping)
        merged[key] = merge(config[key], value) if nested else deepcopy(value)
    return merged


def schema_faults(config: dict, schema: dict) -> list[str]:
    """Everything in `config` that the JSON Schema refuses, one sentence each."""
    errors = Draft202012Validator(schema).iter_errors(config)
    return sorted({sentence for error in errors for sentence in _sentences(error)})


def _sentences(error: ValidationError) -> Iterator[str]:
    where = ".".join(map(str, error.absolute_path))
    prefix = f"{where}: " if where else ""
    known = list(error.schema.get("properties", ()))
    if error.validator == "additionalProperties":
        for name in error.instance:
            if name not in known:
                close = difflib.get_close_matches(str(name), known, 1)
                meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
                yield f"{prefix}unknown key {name!r}; {meant}"
    elif error.validator == "required":
        for name in error.validator_value:
            if name not in error.instance:
                yield f"{prefix}the key {name} is missing; config/config.yaml has it"
    elif error.validator == "type" and "enum" in error.schema:
        pass  # the words that are known say what it has to be
    elif error.validator == "type":
        yield prefix + _wrong_type(error.instance, error.validator_value)
    else:
        yield f"{prefix}{error.instance!r} {_out_of_range(error.validator, error.validator_value)}"


def _wrong_type(value: object, wanted: str | list[str]) -> str:
    kinds = [wanted] if isinstance(wanted, str) else wanted
    said = f"{value!r} is not {' or '.join(KINDS[kind] for kind in kinds)}"
    if isinstance(value, str) and LIKE_A_NUMBER.fullmatch(value):
        mantissa, exponent = re.split("[eE]", value)
        if "." not in mantissa:
            mantissa += ".0"
        sign = "" if exponent[0] in "+-" else "+"
        return f"{said}: YAML reads it as text; write {mantissa}e{sign}{exponent}"
    if isinstance(value, str) and set(kinds) & {"number", "integer", "boolean"}:
        return f"{said}; remove quotes and units"
    if isinstance(value, bool | int | float) and "string" in kinds:
        return f"{said}: put it in quotes, because YAML reads a bare no, 1 or 0.5 as a value"
    return said


def _out_of_range(rule: str, limit: object) -> str:
    return {
        "minimum": f"is below {limit}, the lowest value",
        "maximum": f"is above {limit}, the highest value",
        "exclusiveMinimum": f"is not above {limit}",
        "exclusiveMaximum": f"is not below {limit}",
        "enum": f"is not known; use one of {limit}",
        "pattern": "holds characters that are not allowed here; see config/README.md",
        "minLength": "is empty",
        "minItems": f"has fewer than {limit} entries",
        "maxItems": f"has more than {limit} entries",
        "uniqueItems": "names something twice",
    }[rule]
