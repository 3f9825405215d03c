"""
How good it is, out of fold, with confidence intervals over patients.
    needs   scores/, heatmaps/, splits.tsv, pixel truth where the sheet names it
    gives   evaluation/*.tsv   per method, per slide, and the points of the curves
            metrics.tsv        one tidy table
"""


def classifier_scores(wildcards):
    """The settings of evaluate_classifier, with what pools bags where there are any."""
    pooled = {"bags": config["train_aggregator"]["pooling"]} if LEVEL == "slide" else {}
    return config["evaluate_classifier"] | pooled


rule evaluate_classifier:
    input:
        scores=lambda wildcards: expand(
            f"{RESULTS}/scores/fold{{fold}}/{{shard}}.json", fold=FOLDS, shard=SHARDS
        ),
        bag_scores=expand(
            f"{RESULTS}/bag_scores/fold{{fold}}/{{shard}}.json",
            fold=FOLDS if LEVEL == "slide" else [],
            shard=SHARDS,
        ),
        tile_labels=MARKS,
        classifiers=expand(f"{RESULTS}/classifiers/fold{{fold}}.json", fold=FOLDS),
        splits=f"{RESULTS}/splits.tsv",
    output:
        evaluation=report(
            f"{RESULTS}/evaluation/classifier.tsv",
            caption="../report/captions/classifier.rst",
            category="Results",
            labels={"table": "classifier"},
        ),
        slides=f"{RESULTS}/evaluation/classifier_slides.tsv",
        curves=f"{RESULTS}/evaluation/classifier_curves.tsv",
    log:
        f"{LOGS}/evaluate_classifier/all.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe(
            "evaluate_classifier",
            shared=["seed", "classes", "negative", "level", "pooling"],
            section=classifier_scores,
        ),
    script:
        "../scripts/evaluate_classifier.py"


rule evaluate_pseudo_masks:
    input:
        tiles=expand(f"{RESULTS}/tiles/{{shard}}.json", shard=SHARDS),
        tissue=expand(f"{RESULTS}/tissue/{{shard}}.json", shard=SHARDS),
        assignments=expand(
            f"{RESULTS}/assignments/{CLUSTERING}/fold{{fold}}/{{shard}}.json",
            fold=FOLDS,
            shard=SHARDS,
        ),
        classifiers=expand(f"{RESULTS}/classifiers/fold{{fold}}.json", fold=FOLDS),
        cams=expand(
            f"{RESULTS}/cams/{CAMS[0]}/fold{{fold}}/{{shard}}.json", fold=FOLDS, shard=SHARDS
        ),
        compared=expand(
            f"{RESULTS}/cams/{{cam}}/fold{{fold}}/{{shard}}.json",
            cam=CAMS[1:],
            fold=FOLDS,
            shard=SHARDS,
        ),
        pseudo_masks=expand(
            f"{RESULTS}/pseudo_masks/fold{{fold}}/{{shard}}.json", fold=FOLDS, shard=SHARDS
        ),
        splits=f"{RESULTS}/splits.tsv",
    output:
        evaluation=f"{RESULTS}/evaluation/pseudo_masks.tsv",
    log:
        f"{LOGS}/evaluate_pseudo_masks/all.log",
    priority: 1  # what it warns of is worth knowing before decoders are trained
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(2000),
    params:
        recipe=recipe(
            "evaluate_pseudo_masks",
            shared=["classes", "negative", "cam_scale"],
            made_of=lambda wildcards: {"cams": CAMS, "clustering": CLUSTERING},
        ),
    script:
        "../scripts/evaluate_pseudo_masks.py"


rule evaluate_masks:
    input:
        heatmaps=every(f"{RESULTS}/heatmaps/{{method}}/{{shard}}.json"),
        refined=lambda wildcards: expand(
            f"{RESULTS}/refined/{wildcards.method}/fold{{fold}}/{{shard}}.json",
            fold=FOLDS,
            shard=SHARDS,
        ),
        tiles=every(f"{RESULTS}/tiles/{{shard}}.json"),
        checks=every(f"{RESULTS}/checks/{{shard}}.json"),
        classifiers=expand(f"{RESULTS}/classifiers/fold{{fold}}.json", fold=FOLDS),
        splits=f"{RESULTS}/splits.tsv",
    output:
        evaluation=report(
            f"{RESULTS}/evaluation/masks_{{method}}.tsv",
            caption="../report/captions/masks.rst",
            category="Results",
            labels={"table": "masks of {method}"},
        ),
        slides=f"{RESULTS}/evaluation/masks_{{method}}_slides.tsv",
        curves=f"{RESULTS}/evaluation/masks_{{method}}_curves.tsv",
        thresholds=f"{RESULTS}/evaluation/masks_{{method}}_thresholds.tsv",
    log:
        f"{LOGS}/evaluate_masks/{{method}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe(
            "evaluate_masks",
            shared=["seed", "negative", "window"],
            slide=lambda s: file_facts(s.mask),
        ),
    script:
        "../scripts/evaluate_masks.py"


rule summarise_study:
    input:
        tables=[f"{RESULTS}/evaluation/clusters.tsv"]
        + [f"{RESULTS}/evaluation/probes.tsv"] * PROBED
        + [f"{RESULTS}/evaluation/classifier.tsv"] * LABELLED
        + expand(f"{RESULTS}/evaluation/masks_{{method}}.tsv", method=METHODS),
        thresholds=expand(f"{RESULTS}/evaluation/masks_{{method}}_thresholds.tsv", method=METHODS),
        splits=f"{RESULTS}/splits.tsv",
        audit=f"{RESULTS}/audit.tsv",  # passed, or there is nothing to summarise
    output:
        metrics=report(
            f"{RESULTS}/metrics.tsv",
            caption="../report/captions/metrics.rst",
            category="Results",
            labels={"table": "metrics"},
        ),
    log:
        f"{LOGS}/summarise_study/all.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("summarise_study", shared=["permute"]),
    script:
        "../scripts/summarise_study.py"
