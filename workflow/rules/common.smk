"""
What every stage shares: the checked config and sheet, shards, folds, and recipes.
    needs   config/config.yaml (and a study's own), the slide sheet
    gives   RESULTS, SHARDS, FOLDS, CAMS, REFINERS, METHODS; every(), recipe() for the rules
"""

import json
import os
import re
from base64 import urlsafe_b64encode
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.io import apply_wildcards

from workflow.lib.networks.checkpoints import identity as checkpoint_identity
from workflow.lib.networks.licences import licence
from workflow.lib.jobs.choices import check_choices, check_chosen
from workflow.lib.jobs.configuration import schema_faults
from workflow.lib.jobs.contradictions import check_config, check_marks, check_named
from workflow.lib.jobs.explanation import note_change, note_study, recorded_recipe
from workflow.lib.jobs.identity import Identities
from workflow.lib.cohort.permutation import permute_labels
from workflow.lib.jobs.recipe import ROOT, as_param, canon, recipe as make_recipe
from workflow.lib.jobs.recipe import release, shared_settings
from workflow.lib.jobs.shard import assign_shards
from workflow.lib.cohort.sheet import SheetError, read_sheet
from workflow.lib.cohort.splits import count_folds

schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
if problems := schema_faults(config, schema) or check_config(config):
    raise WorkflowError(
        "E_CONFIG: The config cannot be used:\n" + "\n".join(f"  {p}" for p in problems)
    )

LABELLED = bool(config["labels"]["classes"])
try:
    listed = read_sheet(
        Path(config["slides"]),
        classes=config["labels"]["classes"],
        labels_needed=LABELLED,
    )
except SheetError as error:
    raise WorkflowError(f"E_SHEET: {error}") from None
if config["labels"]["permute"]:
    listed = permute_labels(listed, seed=config["seed"])
SLIDES = {slide.slide: slide for slide in listed}

RESULTS = f"results/{config['study']}"
LOGS = f"logs/{config['study']}"
SHARDS = assign_shards(SLIDES, config["slides_per_shard"])
FOLDS = range(count_folds(list(SLIDES.values()), config["split_patients"]["folds"]))
CAMS = config["make_cams"]["methods"]  # later stages build on the first; others are compared
REFINERS = config["refine_masks"]["methods"] if LABELLED else []
METHODS = REFINERS + CAMS[1:] * LABELLED
MARKED = {name: any(getattr(s, name) for s in SLIDES.values()) for name in ("mask", "points")}
problems = check_marks(METHODS, masked=MARKED["mask"], pointed=MARKED["points"])
problems += check_choices(config, METHODS, masked=MARKED["mask"])
problems += check_named(config["explain_tiles"]["named"], SLIDES)
problems += check_chosen(config["write_report"]["chosen"], SLIDES)
if problems:
    raise WorkflowError("\n".join(f"E_CONFIG: {problem}" for problem in problems))
IDENTITIES = Identities(Path(RESULTS, "identities.json"))
RECIPES = []

if workflow.is_main_process:
    if faults := IDENTITIES.meet(slide.path for slide in SLIDES.values()):
        raise WorkflowError("\n".join(map(str, faults)))
    problems = IDENTITIES.twins({name: slide.path for name, slide in SLIDES.items()})
    IDENTITIES.save()
    if problems:
        sentences = "\n".join(f"  {problem}" for problem in problems)
        raise WorkflowError(f"E_SHEET: {config['slides']} names a slide twice:\n{sentences}")
    if notes := os.environ.get("MICROTOME_EXPLAIN"):
        sizes = {name: IDENTITIES.size(slide.path) for name, slide in SLIDES.items()}
        note_study(config["study"], sizes, config["tile_slide"], Path(notes))


wildcard_constraints:
    shard=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    fold=r"\d+",
    method=r"[a-z_]+",
    cam=r"[a-z_]+",
    clustering="kmeans|deepcluster|dcec",


def every(path):
    """Input function: `path` for every shard, other wildcards kept."""
    return lambda wildcards: expand(path, shard=SHARDS, allow_missing=False, **wildcards)


def memory(mb):
    """Memory that grows with the attempt, for clusters that enforce it."""
    return lambda wildcards, attempt: mb * 2 ** (attempt - 1)


def file_facts(path, **facts):
    """What identifies a file of the sheet, beside facts of its row; None without a file."""
    if path is None:
        return facts or None
    return {"identity": IDENTITIES.of(path)} | {k: v for k, v in facts.items() if v is not None}


def choosing(stage):
    """The settings of a stage, without how many masks choose its epoch where none does."""
    section = config[stage]
    return {k: v for k, v in section.items() if k != "masks" or section["choose_by"] == "masks"}


def choosing_masks(stage):
    """Slide function: the pixel mask of a slide, where masks choose the epoch of a stage."""
    return lambda s: file_facts(s.mask) if config[stage]["choose_by"] == "masks" else None


def row_facts(slide):
    """What the report shows of a slide's row."""
    return [slide.patient, slide.label, file_facts(slide.mask)]


LICENCES = {}  # what identifies weights -> their licence, for the report


def checkpoint(stage, architecture, **others):
    """What identifies the weights that a stage starts from, wherever they lie, and `others`."""
    section = config[stage]
    weights = Path(config["weights"]) if config["weights"] else None
    try:
        asked = (section[architecture], section["checkpoint"], weights)
        found = checkpoint_identity(*asked)
        LICENCES[found] = licence(*asked)
    except (FileNotFoundError, ValueError) as error:
        raise WorkflowError(f"E_WEIGHTS: {stage}: {error}") from None
    facts = {"checkpoint": found} | {key: value for key, value in others.items() if value}
    return lambda wildcards: facts


def page_facts(wildcards):
    """What the report is made from beside its tables: config that shapes results, licences, the page."""
    hidden = ("compute", "slides", "weights", "slides_per_shard", "export_features")
    shown = {key: value for key, value in config.items() if key not in hidden}
    folder = ROOT / "workflow/report"
    page = sorted([*folder.glob("report.*"), *folder.glob("viewer/layers.*")])
    page = [IDENTITIES.of(file) for file in page]
    return {"config": shown, "licences": LICENCES, "page": page}


def shown_by(method):
    """The method of the cams that a method of the refine stage shows or builds on."""
    return CAMS[0] if method in REFINERS else method


def recipe(stage, shared=(), slide=lambda slide: None, made_of=lambda wildcards: {}, section=None):
    """Params function: the recipe of a job, the one param that Snakemake records.

    shared   names of study-wide settings that the script asks for (seed, classes, negative ...)
    slide    what of a slide's row and files this stage reads itself
    made_of  other inputs that are not files of the workflow, such as a checkpoint's hash
    section  gives the settings that a job reads, where it is not the whole section of the rule
    """
    known = shared_settings(config)
    settings = {key: known[key] for key in shared}

    def params(wildcards):
        members = SHARDS[wildcards.shard] if "shard" in wildcards.keys() else list(SLIDES)
        slides = {name: slide(SLIDES[name]) for name in members}
        own = section(wildcards) if section else config.get(stage, {})
        current = make_recipe(stage, own | settings, slides, made_of(wildcards))
        IDENTITIES.save()
        if notes := os.environ.get("MICROTOME_EXPLAIN"):
            for output in workflow.get_rule(stage).output:
                file = apply_wildcards(str(output), wildcards)
                note_change(Path(file), stage, json.loads(canon(current)), Path(notes))
        return as_param(current)

    RECIPES.append(stage)
    return params


def params_of(record):
    """The params that a record of Snakemake holds; None where it is absent or torn."""
    try:
        return json.loads(record.read_text()).get("params")
    except (OSError, ValueError):
        return None


def restore_records():
    """Give Snakemake back the params of results that it has no record of, or another's.

    Where .snakemake was lost, or older results were copied over newer ones, Snakemake compares
    nothing or the wrong thing and an edit would pass unseen. Every result carries the recipe that
    it was made with, so the record is written anew from it, in Snakemake's own form, and an edit
    is seen as ever.
    """
    for stage in RECIPES:
        for output in workflow.get_rule(stage).output:
            for file in map(str, Path().glob(re.sub(r"\{[^}]*\}", "*", str(output)))):
                name = urlsafe_b64encode(file.encode()).decode()
                pieces = [name[start : start + 254] for start in range(0, len(name), 254)]
                record = Path(
                    ".snakemake/metadata", *(f"@{piece}" for piece in pieces[:-1]), pieces[-1]
                )
                made_with = recorded_recipe(Path(file))
                params = [repr(as_param(made_with))]
                if made_with and params_of(record) != params:
                    record.parent.mkdir(parents=True, exist_ok=True)
                    record.write_text(
                        json.dumps({"rule": stage, "params": params, "record_format_version": 6})
                    )
