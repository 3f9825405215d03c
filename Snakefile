"""Microtome: from a table of slides and one label per slide to pixel-level heatmaps."""

from snakemake.utils import min_version

min_version("9.25")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/tile.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/cluster.smk"
include: "workflow/rules/judge.smk"
include: "workflow/rules/bags.smk"
include: "workflow/rules/classify.smk"
include: "workflow/rules/cam.smk"
include: "workflow/rules/explain.smk"
include: "workflow/rules/decode.smk"
include: "workflow/rules/refine.smk"
include: "workflow/rules/stitch.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/export.smk"


rule all:
    default_target: True
    input:
        f"{RESULTS}/report.html",


rule export:
    input:
        f"{RESULTS}/exports/cohort.h5ad",
        expand(f"{RESULTS}/exports/{{program}}.json", program=PROGRAMS),


if workflow.is_main_process:
    restore_records()
