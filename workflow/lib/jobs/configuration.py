"""The config: what is wrong with it, in sentences that name the key, the value and the fix."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from workflow.lib.jobs.names import SUPERVISED

LIKE_A_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+")
WITHOUT_FILE = ("random", "imagenet", "hub", "deepcluster")
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


def check_config(config: dict) -> list[str]:
    """What no schema can see in a `config` that fits it: keys that contradict each other."""
    return [
        *_label_faults(config),
        *_checkpoint_faults(config),
        *_cluster_faults(config),
        *_cam_faults(config),
        *_tile_faults(config),
        *_threshold_faults(config),
    ]


def check_marks(methods: Iterable[str], *, masked: bool, pointed: bool) -> list[str]:
    """A sentence for each method that learns from what no slide has: pixel masks, or points."""
    needs = dict.fromkeys(SUPERVISED, ("pixel masks", "mask", masked))
    needs["points"] = ("points", "points", pointed)
    return [
        f"refine_masks.methods: {method} learns from {needs[method][0]}, and no slide of the sheet "
        f"has any; give some in its column {needs[method][1]}, or leave the method out"
        for method in methods
        if method in needs and not needs[method][2]
    ]


def _label_faults(config: dict) -> Iterator[str]:
    classes, negative = config["labels"]["classes"], config["labels"]["negative"]
    if len(classes) == 1:
        yield (
            f"labels.classes: {classes[0]!r} alone cannot be told from anything; "
            "name two classes, or none for a study without labels"
        )
    if len({name.casefold() for name in classes}) < len(classes):
        yield f"labels.classes: {', '.join(classes)} differ only in case; use other names"
    if config["labels"]["permute"] and not classes:
        yield "labels.permute: a study without labels has none to permute; set it to false"
    if negative is not None and negative not in classes:
        yield (
            f"labels.negative: {negative!r} is not in labels.classes ({', '.join(classes)}); "
            "write one of them or null"
        )
    if config["labels"]["level"] != "image" and not classes:
        yield (
            f"labels.level: {config['labels']['level']} says which tiles show a label, but "
            "labels.classes names none; write image for a study without labels"
        )
    if config["labels"]["permute"] and config["labels"]["level"] == "annotation":
        yield (
            "labels.permute: at level annotation masks teach which tile shows what, and they stay "
            "what they are, so that labels are not without meaning; use level image or slide"
        )
    if config["labels"]["level"] == "annotation" and classes and negative is None:
        yield (
            "labels.negative: at level annotation, tiles that nobody marked need a class; name the "
            "negative one"
        )
    label = config["label_tiles"]
    if label["top_share"] + label["bottom_share"] > 1:
        yield (
            f"label_tiles.top_share: {label['top_share']} and bottom_share, "
            f"{label['bottom_share']}, are more than the whole slide; use at most 1 together"
        )


def _checkpoint_faults(config: dict) -> Iterator[str]:
    for section in ("extract_features", "train_deepcluster", "train_classifier"):
        if section == "train_deepcluster" and config["cluster"]["method"] != "deepcluster":
            continue  # not in use
        checkpoint = config[section]["checkpoint"]
        if checkpoint == "deepcluster" and section != "train_classifier":
            yield f"{section}.checkpoint: deepcluster is a start for train_classifier alone"
        if checkpoint not in WITHOUT_FILE and config["weights"] is None:
            yield (
                f"{section}.checkpoint: {checkpoint!r} is a file, but weights names no folder; "
                "set weights to the folder that holds it, or use random or imagenet"
            )


def _cluster_faults(config: dict) -> Iterator[str]:
    learnt, classifier = config["train_deepcluster"], config["train_classifier"]
    starts = classifier["checkpoint"] == "deepcluster"
    balances = classifier["balance"] == "clusters"
    if starts and config["cluster"]["method"] != "deepcluster":
        yield (
            f"train_classifier.checkpoint: deepcluster is not learnt where cluster.method is "
            f"{config['cluster']['method']}; set that to deepcluster, so that the report shows it"
        )
    if (starts or balances) and config["cluster"]["fit_on"] == "all":
        yield (
            "cluster.fit_on: all fits clusters on the slides that a fold tests, which its "
            "classifier may then not use; set it to train, or train_classifier.checkpoint to "
            "another start and train_classifier.balance to classes"
        )
    if starts and classifier["backbone"] != learnt["backbone"]:
        yield (
            f"train_classifier.backbone: {classifier['backbone']} cannot start from the "
            f"{learnt['backbone']} of train_deepcluster; give both the same backbone"
        )


def _cam_faults(config: dict) -> Iterator[str]:
    cams, tile, cell = config["make_cams"], config["tile_slide"]["tile_px"], config["map_glands"]
    if cams["consistency"] > 0 and "cam" not in cams["methods"]:
        yield (
            f"make_cams.consistency: {cams['consistency']} mixes in what training images say as a "
            "cam, and there is none; set it to 0 or name cam in make_cams.methods"
        )
    if "glands" in cams["methods"] and tile % cell["cell_px"]:
        yield (
            f"map_glands.cell_px: {cell['cell_px']} does not divide tile_slide.tile_px, {tile}; "
            "use a divisor"
        )
    if cell["min_lumen_um2"] >= cell["max_lumen_um2"]:
        yield (
            f"map_glands.min_lumen_um2: {cell['min_lumen_um2']} is not below max_lumen_um2, "
            f"{cell['max_lumen_um2']}"
        )


def _tile_faults(config: dict) -> Iterator[str]:
    tile, refine, check = config["tile_slide"], config["refine_masks"], config["check_slide"]
    if tile["stride_px"] > tile["tile_px"]:
        yield (
            f"tile_slide.stride_px: {tile['stride_px']} leaves gaps between tiles of "
            f"{tile['tile_px']} px; use at most tile_px"
        )
    margin = config["train_unet"]["context_px"]
    if "unet" in refine["methods"] and margin >= tile["tile_px"]:
        yield (
            f"train_unet.context_px: {margin} px cannot be mirrored from tiles of "
            f"{tile['tile_px']} px; use less than tile_px"
        )
    if tile["tile_px"] % refine["downsample"]:
        yield (
            f"refine_masks.downsample: {refine['downsample']} does not divide "
            f"tile_slide.tile_px, {tile['tile_px']}"
        )
    if check["mpp_min"] >= check["mpp_max"]:
        yield f"check_slide.mpp_min: {check['mpp_min']} is not below mpp_max, {check['mpp_max']}"
    if not check["mpp_min"] <= tile["mpp"] <= check["mpp_max"]:
        yield (
            f"tile_slide.mpp: {tile['mpp']} is outside check_slide.mpp_min and mpp_max "
            f"({check['mpp_min']} to {check['mpp_max']})"
        )


def _threshold_faults(config: dict) -> Iterator[str]:
    for section in ("make_pseudo_masks", "train_pixelcam", "train_irn"):
        cuts = config[section]
        if cuts["background"] >= cuts["foreground"]:
            yield (
                f"{section}.background: {cuts['background']} is not below foreground, "
                f"{cuts['foreground']}"
            )
    regions = config["train_rpnet"]
    if regions["background"] > regions["foreground"]:
        yield (
            f"train_rpnet.background: {regions['background']} is above foreground, "
            f"{regions['foreground']}"
        )
    for section in ("train_negev", "train_rpnet", "train_points"):
        if (side := config[section]["dilate_px"]) % 2 == 0:
            yield f"{section}.dilate_px: {side} has no middle pixel; use an odd number"


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
