"""Is everything there that a study needs? One line per check: ok, or what to type.

    python -m workflow.tools.doctor [--configfile my-study.yaml] [--config weights=FOLDER]
    make doctor CONFIG=my-study.yaml PROFILE=workflow/profiles/slurm

Takes some seconds, runs nothing and fetches nothing. The exit status is 1 where anything has to be
fixed. --profile looks at Slurm too.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from workflow.lib.cohort.sheet import Slide, read_sheet
from workflow.lib.cohort.splits import count_folds, split_patients
from workflow.lib.jobs.choices import check_choices, check_chosen
from workflow.lib.jobs.configuration import merge, schema_faults
from workflow.lib.jobs.contradictions import check_config, check_marks
from workflow.lib.jobs.errors import STUDY
from workflow.lib.jobs.machine import (
    Finding,
    check_codecs,
    check_devices,
    check_libraries,
    check_python,
    check_room,
)
from workflow.lib.jobs.recipe import ROOT
from workflow.lib.jobs.slurm import check_slurm
from workflow.lib.networks.cached_weights import fetch_command, find_weights
from workflow.lib.slides.buckets import ObjectPath, ask
from workflow.lib.slides.folders import IMAGES

DEMO = Path("config/slides.tsv")
SHOWN = 5  # lines of a sheet that are named; a run names all


def main(arguments: list[str]) -> int:
    """Print a line for each check; the exit status is 1 where any asks for something."""
    parser = argparse.ArgumentParser(
        prog="doctor", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="of the study")
    parser.add_argument("--config", nargs="+", default=[], metavar="KEY=VALUE")
    parser.add_argument("--profile", type=Path, help="such as workflow/profiles/slurm")
    options = parser.parse_args(arguments)
    wanted = 0
    for finding in find(options):
        wanted += finding.remedy is not None
        mark = "ok " if finding.remedy is None else "FIX"
        remedy = "" if finding.remedy is None else f" -> {finding.remedy}"
        sys.stdout.write(f"{mark} {finding.name:<12} {finding.said}{remedy}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{wanted} to fix.\n" if wanted else "Nothing to fix.\n")
    return 1 if wanted else 0


def find(options: argparse.Namespace) -> Iterator[Finding]:
    """The findings of all checks; what needs a config is left out where that cannot be used."""
    yield check_python()
    yield check_libraries()
    yield from check_codecs()
    config, finding = check_settings(options.configfile, options.config)
    yield finding
    yield check_devices(config["compute"]["device"] if config else "auto")
    if config:
        slides, finding = check_sheet(config)
        yield finding
        if slides:
            yield check_pixel_sizes(slides, config)
        if slides and any(slide.label for slide in slides):
            yield check_folds(slides, config)
        files = [slide.path for slide in slides if isinstance(slide.path, Path)]
        sizes = [file.stat().st_size for file in files]
        if objects := [slide.path for slide in slides if isinstance(slide.path, ObjectPath)]:
            stored, finding = check_storage(objects)
            sizes += stored
            yield finding
        yield from check_room(Path("results"), sizes)
        yield from check_weights(config)
    if options.profile:
        yield check_slurm(options.profile)


def check_settings(files: list[Path], changes: list[str]) -> tuple[dict | None, Finding]:
    """The config as Snakemake would have it, or None, and what is wrong with it."""
    try:
        config = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
        for file in files:
            config = merge(config, yaml.safe_load(file.read_text()) or {})
        for change in changes:
            key, _, value = change.partition("=")
            config = merge(config, {key: yaml.safe_load(value)})
        schema = (ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text()
        faults = schema_faults(config, yaml.safe_load(schema)) or check_config(config)
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        faults = [" ".join(str(error).split())]
    if faults:
        return None, Finding("config", "cannot be used", "; ".join(faults))
    return config, Finding("config", f"study {config['study']}")


def check_sheet(config: dict) -> tuple[list[Slide], Finding]:
    """The slides of the sheet, none where it cannot be used, and what is wrong with it."""
    classes, sheet = config["labels"]["classes"], Path(config["slides"])
    try:
        slides = read_sheet(sheet, classes=classes, labels_needed=bool(classes))
    except ValueError as error:
        if sheet == DEMO and not Path("data/demo").exists():
            return [], Finding("sheet", f"{sheet}: the demo is not drawn", "make demo")
        first, *others = str(error).splitlines()
        more = f"and {len(others) - SHOWN} more lines" if len(others) > SHOWN else ""
        listed = (line.strip() for line in (first, *others[:SHOWN], more))
        return [], Finding("sheet", "cannot be used", "; ".join(filter(None, listed)))
    masked, pointed = (any(getattr(s, name) for s in slides) for name in ("mask", "points"))
    methods = config["refine_masks"]["methods"] if classes else []
    faults = check_marks(methods, masked=masked, pointed=pointed)
    faults += check_choices(config, methods, masked=masked)
    faults += check_chosen(config["write_report"]["chosen"], {slide.slide for slide in slides})
    if faults:
        return slides, Finding("sheet", f"{sheet} does not fit the config", "; ".join(faults))
    patients = len({slide.patient for slide in slides})
    said = f"{len(slides)} slides, {patients} patients"
    said += "".join(f", {sum(s.label == name for s in slides)} {name}" for name in classes)
    if patients == len(slides) > 1:
        said += "; each slide its own patient: is that so?"
    return slides, Finding("sheet", said)


def check_storage(objects: list[ObjectPath]) -> tuple[list[int], Finding]:
    """The bytes of each slide in object storage, and what is wrong with any."""
    found, faults = ask(objects)
    sizes = [sum(part.size for part in parts) for parts in found.values()]
    if faults:
        said = f"{len(objects) - len(sizes)} of {len(objects)} slides cannot be read ({faults[0]})"
        return sizes, Finding("storage", said, STUDY[faults[0].code].remedy)
    return sizes, Finding("storage", f"{len(objects)} slides, {sum(sizes) / 1e9:.3g} GB")


def check_pixel_sizes(slides: list[Slide], config: dict) -> Finding:
    """Whether slides are as fine as tiles, as far as the sheet tells without opening them."""
    tile = config["tile_slide"]
    plain = [s for s in slides if s.mpp is None and s.path.suffix.lower() in IMAGES]
    coarse = [s for s in slides if s.mpp and s.mpp > tile["mpp"] * tile["max_upsample"]]
    asides = (
        (plain, "plain images have no mpp", "fill in the column mpp"),
        (coarse, f"are coarser than {tile['mpp']:g} um", "raise tile_slide.mpp"),
    )
    found = [(f"{len(s)} {said} (such as {s[0].slide})", cure) for s, said, cure in asides if s]
    said = (
        "; ".join(said for said, _ in found) or f"none is known to be unfit for {tile['mpp']:g} um"
    )
    if (len(plain) + len(coarse)) / len(slides) <= config["max_quarantined"] or not found:
        said += ": these will be set aside" * bool(found)
        return Finding("pixel sizes", said)
    return Finding("pixel sizes", said, ", ".join(cure for _, cure in found))


def check_folds(slides: list[Slide], config: dict) -> Finding:
    """Whether patients can be divided as the config asks."""
    given = config["split_patients"]
    try:
        split_patients(slides, **given, seed=config["seed"])
    except ValueError as error:
        return Finding("folds", "cannot be drawn", str(error))
    return Finding("folds", f"{count_folds(slides, given['folds'])}")


def check_weights(config: dict) -> Iterator[Finding]:
    """Whether each network that the config trains or uses finds what it starts from, offline."""
    used = {"extract_features": "encoder"}
    if config["cluster"]["method"] == "deepcluster":
        used["train_deepcluster"] = "backbone"
    if config["labels"]["classes"]:
        used["train_classifier"] = "backbone"
    starts: dict[tuple[str, str], list[str]] = {}
    for stage, key in used.items():
        start = (config[stage][key], config[stage]["checkpoint"])
        starts.setdefault(start, []).append(stage)
    weights = Path(config["weights"]) if config["weights"] else None
    for (architecture, checkpoint), stages in starts.items():
        said = f"{architecture}, {checkpoint} ({', '.join(stages)})"
        try:
            found = find_weights(architecture, checkpoint, weights)
        except (FileNotFoundError, ValueError) as error:
            yield Finding("weights", said, str(error))
            continue
        if found:
            yield Finding("weights", f"{said}: {found}")
        else:
            fetch = fetch_command(architecture, checkpoint)
            remedy = f"checkpoint: random for a trial, or where there is a network: {fetch}"
            yield Finding("weights", f"{said}: not on this machine", remedy)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
