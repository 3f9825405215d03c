"""
What other programs open, made by `snakemake export` and never by the default target.
    needs   checks/, tissue/, tiles/, features/, assignments/, scores/, refined/, heatmaps/,
            embedding_maps/, splits.tsv
    gives   feature_files/{shard}.json            features of a slide for TRIDENT, CLAM and STAMP
            tile_tables/{shard}.json              what is known of every tile: Parquet, QuPath squares
            tissue_polygons/{shard}.json          tissue as polygons, to be corrected and given back
            class_maps/{shard}.json               what the classifier says, a channel per class
            asap_polygons/{method}/{shard}.json   polygons of the heatmaps for ASAP
            exports/{program}.json                all slides in the folder that a program expects
            exports/cohort.h5ad, tiles.parquet, tiles.tsv   all tiles of the study
"""

PROGRAMS = [*config["export_features"]["formats"], "tissue", "qupath"] + ["asap"] * bool(METHODS)


def gathered(wildcards):
    """Input function: the indices of the stages whose files a program gets."""
    stages = {
        "tissue": ["tissue_polygons"],
        "qupath": ["tile_tables"]
        + ["class_maps"] * LABELLED
        + [f"heatmaps/{method}" for method in METHODS],
        "asap": [f"asap_polygons/{method}" for method in METHODS],
    }
    folders = stages.get(wildcards.program, ["feature_files"])
    return expand(f"{RESULTS}/{{folder}}/{{shard}}.json", folder=folders, shard=SHARDS)


rule export_features:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        features=f"{RESULTS}/features/{{shard}}.json",
    output:
        feature_files=f"{RESULTS}/feature_files/{{shard}}.json",
    log:
        f"{LOGS}/export_features/{{shard}}.log",
    conda:
        "../../envs/learning.yaml"
    resources:
        mem_mb=memory(2000),
    params:
        recipe=recipe("export_features"),
    script:
        "../scripts/export_features.py"


rule export_tiles:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        assignments=expand(
            f"{RESULTS}/assignments/{CLUSTERING}/fold{{fold}}/{{shard}}.json",
            fold=FOLDS,
            allow_missing=True,
        ),
        scores=expand(
            f"{RESULTS}/scores/fold{{fold}}/{{shard}}.json",
            fold=FOLDS if LABELLED else [],
            allow_missing=True,
        ),
        refined=expand(
            f"{RESULTS}/refined/{{method}}/fold{{fold}}/{{shard}}.json",
            method=METHODS,
            fold=FOLDS,
            allow_missing=True,
        ),
        splits=f"{RESULTS}/splits.tsv",
    output:
        tile_tables=f"{RESULTS}/tile_tables/{{shard}}.json",
    log:
        f"{LOGS}/export_tiles/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe("export_tiles", shared=["classes"], slide=lambda s: s.site),
    script:
        "../scripts/export_tiles.py"


rule export_classes:
    input:
        tiles=f"{RESULTS}/tiles/{{shard}}.json",
        scores=expand(
            f"{RESULTS}/scores/fold{{fold}}/{{shard}}.json", fold=FOLDS, allow_missing=True
        ),
        splits=f"{RESULTS}/splits.tsv",
    output:
        class_maps=f"{RESULTS}/class_maps/{{shard}}.json",
    log:
        f"{LOGS}/export_classes/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(1500),
    params:
        recipe=recipe("export_classes", shared=["classes"]),
    script:
        "../scripts/export_classes.py"


rule export_tissue:
    input:
        checks=f"{RESULTS}/checks/{{shard}}.json",
        tissue=f"{RESULTS}/tissue/{{shard}}.json",
    output:
        tissue_polygons=f"{RESULTS}/tissue_polygons/{{shard}}.json",
    log:
        f"{LOGS}/export_tissue/{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("export_tissue"),
    script:
        "../scripts/export_tissue.py"


rule export_polygons:
    input:
        heatmaps=f"{RESULTS}/heatmaps/{{method}}/{{shard}}.json",
    output:
        asap_polygons=f"{RESULTS}/asap_polygons/{{method}}/{{shard}}.json",
    log:
        f"{LOGS}/export_polygons/{{method}}.{{shard}}.log",
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("export_polygons", shared=["classes"]),
    script:
        "../scripts/export_polygons.py"


rule export_cohort:
    input:
        tile_tables=expand(f"{RESULTS}/tile_tables/{{shard}}.json", shard=SHARDS),
        features=expand(f"{RESULTS}/features/{{shard}}.json", shard=SHARDS),
        embedding_maps=f"{RESULTS}/embedding_maps/{CLUSTERING}/fold{FOLDS[0]}.json",
    output:
        cohort=f"{RESULTS}/exports/cohort.h5ad",
        parquet=f"{RESULTS}/exports/tiles.parquet",
        sheet=f"{RESULTS}/exports/tiles.tsv",
    log:
        f"{LOGS}/export_cohort/all.log",
    conda:
        "../../envs/imaging.yaml"
    resources:
        mem_mb=memory(3000),
    params:
        recipe=recipe("export_cohort", shared=["map"]),
    script:
        "../scripts/export_cohort.py"


rule gather_exports:
    input:
        units=gathered,
    output:
        exports=f"{RESULTS}/exports/{{program}}.json",
    log:
        f"{LOGS}/gather_exports/{{program}}.log",
    wildcard_constraints:
        program="|".join(PROGRAMS),
    conda:
        "../../envs/imaging.yaml"
    params:
        recipe=recipe("gather_exports"),
    script:
        "../scripts/gather_exports.py"
